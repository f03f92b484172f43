"""The job's log, as its head reads it: slurmstepd writes there why it ends the job, before it sends the signal."""

from __future__ import annotations

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.client import LOG_LINES
from curator_slurm.launcher.tails import last_lines, size_of


class JobLog:
    """What has been written since this agent began: an earlier run of the job may have left its end there, too."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._began = size_of(context.cluster.slurm_log)

    def reason(self) -> FailureClass | None:
        """Why Slurm ends the job; None where it does not say.

        That a step is cancelled says nothing: a preemption with a grace begins with such a line.
        """
        lines = self._lines()
        found = messages.reason_in_log(lines)
        return found if found is not FailureClass.CANCELLED or messages.job_is_cancelled(lines) else None

    def job_is_cancelled(self) -> bool:
        """Whether the job as a whole was cancelled."""
        return messages.job_is_cancelled(self._lines())

    def _lines(self) -> list[str]:
        if self._context.allocation.local:
            return []
        return last_lines(self._context.cluster.slurm_log, LOG_LINES, since=self._began)
