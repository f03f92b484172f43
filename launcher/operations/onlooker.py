"""Telling people of a run from outside of its job (`notify`): by commands that see it, where the job has not told.

A job that waits cannot tell that it does, nor can one that was cancelled before it began or has lost its node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.notify.notice import notice_of_end, notice_of_wait
from curator_slurm.launcher.notify.run_command import run_here
from curator_slurm.launcher.notify.tell import Teller
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import SubmissionRecord, read_submissions
from curator_slurm.launcher.spec.notify_section import NotifySpec
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.run_decision import RunStatus


class Onlooker:
    """Sees a run again and again; make it before its status is asked, which may remove the run's secrets."""

    def __init__(self, run: Run, environ: Mapping[str, str], say: Callable[[str], None], by: str) -> None:
        self._run = run
        self._teller: Teller | None = None
        self._notify = NotifySpec()
        try:
            if run.record is None or not is_own(run.paths.root):
                return
            self._notify = read_plan(run).spec.notify
        except (CuratorSlurmError, OSError):
            return
        if self._notify.command is not None or self._notify.webhook is not None:
            self._teller = Teller(run.paths, self._notify, environ, by, say, run_here(run.paths.root))

    @property
    def is_asked(self) -> bool:
        """Whether the run wants anybody to be told of anything."""
        return self._teller is not None

    def see(self, status: RunStatus) -> bool:
        """Tell of what a status shows and nobody has told; whether anything was told."""
        if self._teller is None or not (status.state.is_final or status.state is RunState.PENDING):
            return False
        newest = self._newest()
        if newest is None:
            return False
        if status.state.is_final:
            return self.ended(
                status.state,
                message=status.message,
                failure_class=str(status.failure_class or ""),
                next_step=status.next_step,
                shards_done=status.done,
                shards_total=status.total,
            )
        waited = (time.time() - newest.prepared) / 3600
        if self._notify.waiting_hours is None or waited < self._notify.waiting_hours:
            return False
        fields = {"message": status.message, "shards_done": status.done, "shards_total": status.total}
        notice = notice_of_wait(status.state, waited, **self._names(newest), **fields)
        return self._teller.tell(notice, newest.number)

    def ended(self, state: RunState, **fields: Any) -> bool:
        """Tell of an end, if nobody has; `fields` as of a notice."""
        newest = self._newest() if self._teller is not None else None
        if self._teller is None or newest is None:
            return False
        return self._teller.tell(notice_of_end(state, **self._names(newest), **fields), newest.number)

    def _newest(self) -> SubmissionRecord | None:
        try:
            return max((each.record for each in read_submissions(self._run.paths)), key=lambda each: each.number)
        except (OSError, StorageError, ValueError):
            return None

    def _names(self, newest: SubmissionRecord) -> dict[str, str]:
        assert self._run.record is not None
        return {
            "run_id": self._run.run_id,
            "name": self._run.record.name,
            "run_dir": str(self._run.paths.root),
            "job_id": newest.job_id or "",
        }
