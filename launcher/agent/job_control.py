"""What an agent asks of Slurm about its own job; never an error, for the job ends in any case."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.questions import SlurmQuestion
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.client import LOG_LINES
from curator_slurm.launcher.slurm.cluster_config import parse_slurm_configuration
from curator_slurm.launcher.slurm.job_info import Ending, JobInfo, ending_from_inside
from curator_slurm.launcher.slurm.parse import parse_scontrol
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.tails import last_lines

REASON_S = 4.0
"""How long Slurm may take to say why it ends a job: KillWait, 30 seconds by default, is all that is left then."""
CANCEL_S = 20.0
"""How long an order to end a step may take; controllers of large clusters are slow."""


def reason_of_end(context: AgentContext) -> FailureClass | None:
    """Why Slurm ends this job; None where it does not say in time."""
    ending, _ = ending_of(context)
    return ending.reason if ending is not None else None


def ending_of(context: AgentContext, *, kill_wait: bool = False) -> tuple[Ending | None, float | None]:
    """Why and when Slurm ends this job, and, if asked for, the seconds between SIGTERM and SIGKILL on this cluster.

    Each is None where Slurm does not say it in time. What only the job's own log tells of is looked for there.
    """
    job_id = context.allocation.job_id
    job = _ask(context, ["scontrol", "--oneliner", "show", "job", job_id])
    configuration = _ask(context, ["scontrol", "show", "config"]) if kill_wait else None
    text = _answer(job)
    in_log = messages.reason_in_log(last_lines(context.cluster.slurm_log, LOG_LINES))
    ending = None if text is None else ending_from_inside(_jobs(text), job_id, in_log)
    text = _answer(configuration)
    return ending, None if text is None else parse_slurm_configuration(text).kill_wait_s


def cancel_step(context: AgentContext, step: str) -> None:
    """End one step; the batch script goes on."""
    try:
        SlurmQuestion(context.cluster, ["scancel", step], CANCEL_S).answer()
    except SlurmError as error:
        if not messages.ALREADY_OVER.search(error.stderr):
            log.error("%s could not be ended: %s", step, error)


def _ask(context: AgentContext, command: Sequence[str]) -> SlurmQuestion | None:
    try:
        return SlurmQuestion(context.cluster, command, REASON_S)
    except SlurmError as error:
        log.warning("%s", error)
        return None


def _answer(question: SlurmQuestion | None) -> str | None:
    try:
        return None if question is None else question.answer()
    except SlurmError as error:
        log.info("%s", error)
        return None


def _jobs(text: str) -> list[JobInfo]:
    try:
        return parse_scontrol(text)
    except UnreadableOutputError as error:
        log.warning("what scontrol says of this job cannot be parsed: %s", error)
        return []
