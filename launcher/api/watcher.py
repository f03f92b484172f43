"""What the jobs of this process have reached: Slurm is asked for all of them at once, and seldom."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

from submitit.core import core

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.local_process import reap
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of, statuses_of
from curator_slurm.launcher.status.run_decision import RunStatus

DELAY_S = 10
"""Between two questions to Slurm; less in the first seconds after a job was submitted."""


class RunWatcher(core.InfoWatcher):  # type: ignore[misc]
    """submitit's watcher, with run directories for ids; one is shared by all jobs and threads of the process.

    Slurm is asked 0, 2, 4, 8... seconds after the last submission, then every `DELAY_S`. Runs of this machine need no
    Slurm and are looked at whenever they are asked for.
    """

    def __init__(self, delay_s: int = DELAY_S) -> None:
        super().__init__(delay_s)
        self._lock = threading.RLock()
        self._statuses: dict[str, RunStatus] = {}

    def status(self, run_dir: str, mode: str = "standard") -> RunStatus:
        """The status of a run; `mode` is standard, force (ask now), or cache (whatever is known, if anything is)."""
        with self._lock:
            if run_dir not in self._registered:
                self.register_job(run_dir)
            if mode == "force":
                self._finished.discard(run_dir)  # a run that has ended may have been submitted again
            if mode != "cache" and (run_dir not in self._finished):
                run = load_run(Path(run_dir))
                if run.record is not None and not run.record.is_local:
                    self.update_if_long_enough(mode)
                else:
                    self.keep(run, status_of(run))
            return self._statuses.get(run_dir) or RunStatus(state=RunState.UNKNOWN)

    def update(self) -> None:
        """Look at every run that is not known to have ended."""
        with self._lock:
            runs = [load_run(Path(run_dir)) for run_dir in sorted(self._registered - self._finished)]
            self._num_calls += 1
            for run, status in zip(runs, statuses_of(runs), strict=True):
                self.keep(run, status)
            self._last_status_check = time.time()

    def keep(self, run: Run, status: RunStatus) -> None:
        """Take note of what a run has reached."""
        run_dir = str(run.paths.root)
        self._statuses[run_dir] = status
        if status.state.is_final:
            self._finished.add(run_dir)
        if run.record is not None and run.record.is_local and status.state.is_final:
            _reap_processes(run)

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        return {"State": self.get_state(job_id, mode)}

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        return self.status(job_id, mode).state.value

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return self.status(job_id, mode).state.is_final


def _reap_processes(run: Run) -> None:
    """Let the processes of a local run go, where this process started them."""
    with contextlib.suppress(StorageError):
        for submission in read_submissions(run.paths):
            record = submission.record
            if record.pid is not None and record.host == socket.gethostname():
                reap(record.pid, record.pid_started)
