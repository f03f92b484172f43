"""What to do after a run has ended without success: for every failure class a step that can be taken. Pure."""

from __future__ import annotations

from curator_slurm.launcher.failure_classes import FailureClass

_RETRY = "`curator-slurm retry {run}`"
_STEPS = {
    FailureClass.APP_FAILED: "`curator-slurm logs {run}` shows what the pipeline printed; correct what it names, and "
    "submit the spec again",
    FailureClass.BOOTSTRAP_TIMEOUT: f"{_RETRY} tries again; if nodes are late every time, add "
    "`--set cluster.join_timeout_s=900`, or `--set cluster.min_nodes=N` to go on without them",
    FailureClass.NODE_FAILED: f"{_RETRY} runs it again, and `sinfo -R` shows nodes that are down; with "
    "`cluster.min_nodes` a run survives the loss of nodes",
    FailureClass.OUT_OF_MEMORY: "`curator-slurm retry {run} --set resources.mem_per_node=SIZE` with more memory "
    "than it had, or fewer workers at a time",
    FailureClass.PREEMPTED: f"{_RETRY} runs it again",
    FailureClass.REQUEUED: f"Slurm starts it again; where it does not, {_RETRY} does",
    FailureClass.TIME_LIMIT: "`curator-slurm retry {run} --time TIME` with more time than it had; less work at a time "
    "needs `shards`",
    FailureClass.CANCELLED: f"{_RETRY} runs it again, if that was not the intention",
    FailureClass.ENVIRONMENT: f"make `environment` and the software on the nodes agree, then {_RETRY}; "
    "`curator-slurm logs {run} --all` shows what they printed",
    FailureClass.PORT_CONFLICT: f"{_RETRY} tries other ports; if that fails, too, add "
    "`--set network.port_range=[FIRST,LAST]`",
    FailureClass.STORAGE: f"make room, or mend the storage that the message names, then {_RETRY}",
    FailureClass.SLURM_REFUSED: "`curator-slurm retry {run} --set resources.KEY=VALUE` with what the partition has; "
    "`sinfo -o '%P %D %c %m %l %G'` shows that",
    FailureClass.SUPERSEDED: "nothing is lost: a later attempt goes on (`curator-slurm status {run} --attempts`); "
    f"{_RETRY}, if that has ended without success",
    FailureClass.UNKNOWN: "`curator-slurm logs {run} --all` shows everything that was logged; "
    f"{_RETRY} runs it again",
}
_AFTER = {
    FailureClass.APP_FAILED: "then submit the spec again",
    FailureClass.OUT_OF_MEMORY: "then " + _RETRY + ", with `--set KEY=VALUE` for what is to change",
    FailureClass.TIME_LIMIT: "then " + _RETRY + ", with `--time TIME` for more time",
}
"""What follows a step that somebody closer to the failure has named, where it is not a plain retry."""


def default_step(failure: FailureClass | None, run_id: str) -> str:
    """The step after a failure of which nobody has said more than its class."""
    return _sentence(_STEPS[failure or FailureClass.UNKNOWN].format(run=run_id))


def with_next_command(failure: FailureClass | None, step: str, run_id: str) -> str:
    """A step, and how the run goes on after it, where it does not say that itself."""
    if not step:
        return default_step(failure, run_id)
    if "retry" in step or "ubmit" in step:
        return step
    after = _AFTER.get(failure or FailureClass.UNKNOWN, f"then {_RETRY}").format(run=run_id)
    return f"{step.rstrip('.')}; {after}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
