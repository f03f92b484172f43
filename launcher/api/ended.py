"""The error of a run that ended without success: what happened, the lines that prove it, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from curator_slurm.launcher.errors import RunCancelledError, RunEndedError, RunFailedError, RunIncompleteError
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.views import RunView

_ENDED = {RunState.FAILED: "failed", RunState.INCOMPLETE: "is incomplete", RunState.CANCELLED: "was cancelled"}
_ERRORS: Mapping[RunState, type[RunEndedError]] = {
    RunState.FAILED: RunFailedError,
    RunState.INCOMPLETE: RunIncompleteError,
    RunState.CANCELLED: RunCancelledError,
}


def error_of(status: RunView) -> RunEndedError:
    """The error of a run with this final status, which is no success."""
    kind = f" ({status.failure_class})" if status.state is not RunState.CANCELLED and status.failure_class else ""
    head = f"run {status.name} ({status.run_id}) {_ENDED[status.state]}{kind}"
    lines = [f"{head}: {status.message}" if status.message else head, *(f"  {line}" for line in status.evidence)]
    if status.next_step:
        lines.append(f"Next step: {status.next_step}")
    return _ERRORS[status.state](
        "\n".join(lines),
        run_id=status.run_id,
        failure_class=status.failure_class,
        evidence=status.evidence,
        next_step=status.next_step,
    )
