"""`Job`: the handle of a run, as submitit's jobs are handles of functions."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from submitit.core import core, utils

from curator_slurm.common.in_words import several
from curator_slurm.launcher.api.ended import error_of
from curator_slurm.launcher.api.notebook import job_html
from curator_slurm.launcher.api.settings import Overrides, set_options
from curator_slurm.launcher.api.watcher import RunWatcher
from curator_slurm.launcher.errors import (
    CuratorSlurmError,
    RunEndedError,
    SlurmError,
    StorageError,
    UsageError,
    WaitTimeoutError,
)
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import expanded
from curator_slurm.launcher.operations import cancel as cancelling
from curator_slurm.launcher.operations import collect as collecting
from curator_slurm.launcher.operations import retry as retrying
from curator_slurm.launcher.operations.retry import RetryRequest
from curator_slurm.launcher.operations.select_shards import Selection
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.known_folders import known_folders
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status import logs
from curator_slurm.launcher.status.describe import describe, describe_shard, open_shards
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.logs import LogFile, Wanted
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.views import OpenShard, RunView, ShardView

POLL_S = 1.0


class JobPaths(utils.JobPaths):  # type: ignore[misc]
    """submitit's names for the files of a job, in a run directory."""

    @property
    def folder(self) -> Path:
        """The run directory, whatever its name contains."""
        return Path(self._folder)

    @property
    def submission_file(self) -> Path:
        """The batch script."""
        return RunPaths(self.folder).script

    @property
    def stdout(self) -> Path:
        """The driver's log: what the pipeline prints. Before there is one, the output of the batch script."""
        found = logs.select(logs.log_files(registry.load_run(self.folder)), Wanted())
        return found[0].path if found else RunPaths(self.folder).slurm_log(self.job_id or "none")

    @property
    def stderr(self) -> Path:
        """The same file: the streams are not kept apart."""
        return self.stdout


class Job(core.Job[RunView]):  # type: ignore[misc]
    """A run: its state, its end, its outputs. `submit` makes one, `Job.from_run` finds one.

    It is a submitit job: what works with those (`awaitable`, `submitit.helpers.as_completed`, pickling) works here.
    The handle holds nothing but the run directory: deleting it, interrupting `wait` or leaving Python ends no run.
    """

    watcher: ClassVar[RunWatcher] = RunWatcher()

    def __init__(self, run_dir: Path | str, notes: Sequence[str] = ()) -> None:
        self.run_dir = expanded(run_dir).absolute()
        self.notes = tuple(notes)
        """What `submit` had to say: options that were not passed on, unusual input."""
        super().__init__(self.run_dir, "")
        self._paths = JobPaths(self.run_dir, task_id=self.task_id)

    @classmethod
    def from_run(cls, run: str | int | os.PathLike[str] | None = None, *, runs_dir: str | Path | None = None) -> Job:
        """The handle of a run that exists: by its id or the beginning of one, its name (the latest run of it), a job
        id of Slurm's, or its path; without any, the latest run.

        Raises:
            RunNotFoundError: there is no such run.
        """
        folders = [expanded(runs_dir).absolute()] if runs_dir else known_folders(os.environ)
        text = str(run) if isinstance(run, int) else "" if run is None else os.fspath(run)
        found = registry.latest_run(folders) if run is None else registry.find_run(text, folders)
        return cls(found.paths.root)

    def _register_in_watcher(self) -> None:
        self.watcher.register_job(str(self.run_dir))

    def _run(self) -> Run:
        run = registry.load_run(self.run_dir)
        if run.record is None:
            raise StorageError(f"run {run.run_id} cannot be read: {run.problem}")
        return run

    # What it is

    @property
    def run_id(self) -> str:
        return self.run_dir.name

    @property
    def name(self) -> str:
        return self._run().name

    @property
    def job_ids(self) -> list[str]:
        """The ids of all its jobs and arrays in Slurm, retries included, in the order of their submission."""
        record = self._run().record
        return list(record.job_ids) if record else []

    @property
    def job_id(self) -> str:
        """The id of its newest job or array; empty where none is known."""
        return next(reversed(self.job_ids), "")

    @property
    def paths(self) -> JobPaths:
        """`folder`, `submission_file`, `stdout` and `stderr`."""
        self._paths.job_id = self.job_id
        return self._paths

    # What it has reached

    @property
    def state(self) -> RunState:
        """Its state; the answer of Slurm behind it may be ten seconds old."""
        return self._status("standard").state

    def status(self) -> RunView:
        """All that is known of it now: state, failure class, message, evidence, next step, progress of each stage.

        It is what `curator-slurm status --json` prints; Slurm is asked each time, or as often as its
        site allows (`limits.poll_s`).
        """
        run = self._run()
        gathered, status = observe(run, shares=True)
        if gathered is None or gathered.is_fresh:
            self.watcher.keep(run, status)
        return describe(run, status, gathered)

    def done(self, force_check: bool = False) -> bool:
        """Whether it has ended, in whatever way; `force_check` asks Slurm now."""
        return self._status("force" if force_check else "standard").state.is_final

    def get_info(self, mode: str = "force") -> dict[str, str]:
        """The state in a dictionary, as submitit has it."""
        return self.watcher.get_info(str(self.run_dir), mode)

    def _status(self, mode: str) -> RunStatus:
        self._run()
        return self.watcher.status(str(self.run_dir), mode)

    @property
    def outputs(self) -> Path | None:
        """The folder of its published outputs; None while nothing is published.

        Of a sharded run, that of the shards that are done, until `collect` has made a dataset of them.
        """
        outputs = describe(self._run(), self._status("standard"), None).paths.outputs
        return Path(outputs) if outputs else None

    def shard(self, number: int) -> ShardView:
        """All that is known of one shard: state, input, attempts, reasons, outputs.

        Raises:
            UsageError: there is no such shard.
        """
        run = self._run()
        gathered, status = observe(run, number, shares=True)
        if gathered is None:
            raise StorageError(status.message)
        return describe_shard(run, gathered, status, number)

    def failed_shards(self) -> tuple[OpenShard, ...]:
        """The shards that are neither done nor active, and why."""
        return open_shards(observe(self._run(), shares=True)[1])

    # Its end

    def wait(self, timeout: float | None = None, *, poll_s: float = POLL_S) -> Job:
        """Wait until it has ended, in whatever way; the job itself, for chaining.

        Ctrl-C ends the waiting and leaves the run going.

        Raises:
            WaitTimeoutError: it has not ended after `timeout` seconds; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            left = poll_s if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError(
                    f"run {self.run_id} has not ended after {several(timeout, 'second')}: {self.state}"
                )
            time.sleep(min(poll_s, left))
        return self

    def result(self, timeout: float | None = None) -> RunView:
        """Wait for its end; its final status, whose `paths.outputs` says where the outputs are.

        Raises:
            RunFailedError: it failed; with `failure_class`, `evidence` and `next_step`.
            RunIncompleteError: some of its shards are not done.
            RunCancelledError: it was cancelled.
            WaitTimeoutError: it has not ended after `timeout` seconds.
        """
        self.wait(timeout)
        return cast(RunView, super().result())

    def exception(self, timeout: float | None = None) -> RunEndedError | None:
        """Wait for its end; the error that `result` would raise, None after a success."""
        self.wait(timeout)
        outcome, status = self._get_outcome_and_result()
        return None if outcome == "success" else error_of(status)

    def _get_outcome_and_result(self) -> tuple[str, RunView]:
        status = self.status()
        return ("success" if status.state is RunState.COMPLETED else "error"), status

    # Doing something about it

    def cancel(self, check: bool = True) -> None:
        """End it; a run that has ended already is left as it is. `check` waits some seconds for its end.

        Raises:
            SlurmError: Slurm cannot be reached.
        """
        if check:
            cancelling.cancel_run(self._run())
        else:
            cancelling.request_cancel(self._run())
        self.watcher.register_job(str(self.run_dir))

    def __del__(self) -> None:
        """Nothing, unless `cancel_at_deletion` was asked for."""
        if getattr(self, "_cancel_at_deletion", False) and not self.watcher.is_done(str(self.run_dir), "cache"):
            self.cancel(check=False)

    def retry(
        self,
        *,
        overrides: Overrides | None = None,
        classes: Sequence[str] = (),
        shards: Sequence[int] | None = None,
        update_code: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> Job:
        """Submit again what is not done, into the same run directory; the job itself, for chaining.

        With nothing left to do, nothing is done. `overrides` may change how and where it runs, never what the outputs
        are; `classes` and `shards` take only what failed in these ways, or these shards. The code is that which was
        submitted; with `update_code`, the modules beside the spec are taken as they are now.

        Raises:
            SpecError: an override is wrong, or may not change.
            UsageError: there is no such shard or failure class.
            SlurmError: Slurm cannot be asked what is still running, or accepts nothing.
            PartialSubmissionError: Slurm accepted some of the arrays of a sharded run.
        """
        selection = Selection([_failure_class(name) for name in classes], shards)
        found = retrying.retry(
            self._run(),
            RetryRequest(selection, set_options(overrides), update_code=update_code),
            os.environ if environ is None else environ,
        )
        self.watcher.status(str(self.run_dir), "force")
        self.notes = tuple(found.warnings)
        if found.launched is not None and found.launched.error is not None:
            raise PartialSubmissionError(found.launched.problem, self) from found.launched.error
        return self

    def collect(self, *, partial: bool = False, merge: bool = True) -> Path:
        """Verify the shards and publish them as one dataset; its folder. Repeating it is harmless.

        `merge=False` publishes the files of the shards as they are, whatever `output.merge` says.

        Raises:
            RunIncompleteError: some shards are not done, and `partial` is not asked for.
            StorageError: the outputs cannot be published.
        """
        return collecting.collect(self._run(), lambda *_: None, partial=partial, merges=merge).target

    # Logs

    def log_files(self, *, shard: int | None = None) -> list[LogFile]:
        """The logs of its newest attempt (or of the newest at one shard) that exist: driver, slurm, agent, ray."""
        return logs.log_files(self._run(), shard)

    def logs(
        self, lines: int | None = None, *, slurm: bool = False, agent: str | None = None, shard: int | None = None
    ) -> str:
        """The driver's log, or its last `lines`: what the pipeline prints. Empty while there is none.

        `slurm` gives the output of the batch script, `agent` the log of the agent on that node.
        """
        wanted = Wanted(slurm=slurm, agent=agent, shard=shard)
        return "\n".join("".join(logs.read(file, lines)) for file in logs.select(self.log_files(shard=shard), wanted))

    # How it looks

    def __repr__(self) -> str:
        try:
            what = f"name={self.name!r}, run_id={self.run_id!r}, job_id={self.job_id!r}, state={self.state.value!r}"
        except StorageError as error:
            what = f"run_id={self.run_id!r}, {error}"
        return f"Job({what})"

    def _repr_html_(self) -> str:
        try:
            return job_html(self._run(), self._status("standard"))
        except StorageError as error:
            return job_html(Run(RunPaths(self.run_dir)), RunStatus(state=RunState.UNKNOWN, message=str(error)))


class PartialSubmissionError(CuratorSlurmError):
    """Slurm accepted some arrays of a run, or its answer was lost; `job` is the run, `job.retry()` submits the rest."""

    exit_code = SlurmError.exit_code

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


def _failure_class(name: str) -> FailureClass:
    try:
        return FailureClass(name)
    except ValueError:
        raise UsageError(f"there is no failure class {name!r}; there are {', '.join(FailureClass)}") from None
