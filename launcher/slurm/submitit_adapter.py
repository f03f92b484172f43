"""Submission through submitit: its executors, jobs and job environments, extended for scripts of ours.

submitit pickles a function and writes the script around it. Here the script is the plan rendered, `job.sbatch` in
the run directory, and nothing is pickled: the executors override the plug-in points that make the script, run the
submission command and read the job id, and leave no file of submitit's. What a job returned is its outcome.json.

This module imports submitit; import it only where something is really submitted, or inside a job.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil
from submitit.core import core, job_environment, utils
from submitit.local import local as submitit_local
from submitit.slurm import slurm as submitit_slurm

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.local_process import is_process_alive, stop_process
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.slurm import client
from curator_slurm.launcher.slurm.detached import local_environment, start_detached
from curator_slurm.launcher.slurm.parse import JobInfo, expand_nodelist, parse_job_id
from curator_slurm.launcher.states import SlurmState

RUN_DIR_VARIABLE = "CURATOR_SLURM_RUN_DIR"
LOCAL_JOB_ID_VARIABLE = "CURATOR_SLURM_JOB_ID"


class RunJobPaths(utils.JobPaths):  # type: ignore[misc]
    """submitit's names of a job's files, pointing into a run directory."""

    @property
    def _run(self) -> RunPaths:
        return RunPaths(self.folder)

    @property
    def submission_file(self) -> Path:
        return self._run.script

    @property
    def stdout(self) -> Path:
        """The batch script's log; `4711_3` is an element of an array."""
        if self._element:
            return self._run.elements / f"slurm-{self.job_id}.log"
        return self._run.slurm_log(str(self.job_id))

    @property
    def _element(self) -> bool:
        return "_" in str(self.job_id)

    @property
    def stderr(self) -> Path:
        """The same file: the script's streams are not split."""
        return self.stdout

    @property
    def result_pickle(self) -> Path:
        """The outcome of the job's newest attempt (of an element: of its newest start); it need not exist."""
        if self._element:
            starts = sorted(
                self._run.elements.glob(f"{self.job_id}.*"), key=lambda path: int(path.name.rpartition(".")[2])
            )
            return (starts[-1] if starts else self._run.element(str(self.job_id), 0)) / "outcome.json"
        attempts = [attempt for attempt in self._run.existing_attempts() if attempt.job_id == self.job_id]
        newest = attempts[-1] if attempts else self._run.attempt(0, str(self.job_id), 0)
        return newest.outcome


class _OutcomeJob(core.Job[Any]):  # type: ignore[misc]
    """A job whose result is the content of its outcome.json."""

    def __init__(self, folder: Path | str, job_id: str, tasks: Sequence[int] = (0,), **kwargs: Any) -> None:
        super().__init__(folder, job_id, tasks, **kwargs)
        self._paths = RunJobPaths(folder, job_id=job_id, task_id=self.task_id)

    def _get_outcome_and_result(self) -> tuple[str, Any]:
        try:
            outcome = read_json(self.paths.result_pickle)
        except ValueError as error:
            raise utils.UncompletedJobError(f"{self.paths.result_pickle} is damaged: {error}") from error
        if outcome is None:
            raise utils.UncompletedJobError(
                f"job {self.job_id} left no outcome (state: {self.state}); see {self.paths.stdout}"
            )
        if outcome.get("state") == "completed":
            return "success", outcome
        return "error", outcome.get("message") or outcome.get("state")


class CuratorSlurmInfoWatcher(submitit_slurm.SlurmInfoWatcher):  # type: ignore[misc]
    """States of all jobs at once from squeue and scontrol, and from sacct only where the site has it."""

    def update(self) -> None:
        wanted = self._registered - self._finished
        self._last_status_check = time.time()
        if not wanted:
            return
        self._num_calls += 1
        for infos in client.Slurm().job_states(wanted, details=True).values():
            self._info_dict.update({info.job_id: _as_sacct_row(info) for info in infos})
        self._finished.update(job_id for job_id in wanted if self.is_done(job_id, mode="cache"))

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return SlurmState.parse(self.get_state(job_id, mode)).is_final


def _as_sacct_row(info: JobInfo) -> dict[str, str]:
    """The fields that submitit takes from sacct."""
    return {"JobID": info.job_id, "State": info.state.value, "NodeList": ",".join(info.nodes)}


class CuratorSlurmJob(_OutcomeJob, submitit_slurm.SlurmJob):  # type: ignore[misc]
    """A run's Slurm job."""

    watcher = CuratorSlurmInfoWatcher(delay_s=60)
    slurm_cluster: str | None = None
    removed_variables: tuple[str, ...] = ()

    def element(self, index: int) -> CuratorSlurmJob:
        """The handle of one element of an array."""
        job = type(self)(self.paths.folder, f"{self.job_id}_{index}")
        job.slurm_cluster = self.slurm_cluster
        return job

    def cancel(self, check: bool = True) -> None:
        del check  # scancel says by itself whether it worked
        client.Slurm(self.slurm_cluster).cancel([self.job_id])


class _ScriptExecutor(core.PicklingExecutor):  # type: ignore[misc]
    """What both executors share: `submit_script` in the place of `submit`."""

    call = client.SbatchCall()
    script: Path | None = None

    def submit_script(self, call: client.SbatchCall | None = None, script: Path | None = None) -> Any:
        """Submit the script of the run directory, or another one; `call` has what this submission adds to it."""
        self.call = call or client.SbatchCall()
        self.script = script or RunPaths(self.folder).script
        return self._submit_command("")

    def _internal_process_submissions(self, delayed_submissions: list[utils.DelayedSubmission]) -> list[core.Job[Any]]:
        raise NotImplementedError("functions are not submitted here: call submit_script()")

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        """The script as it is; `command` and `uid` have no place in it."""
        del command, uid
        return (self.script or RunPaths(self.folder).script).read_text(encoding="utf-8")

    def _num_tasks(self) -> int:
        """One job, whatever runs inside it."""
        return 1


class CuratorSlurmExecutor(_ScriptExecutor, submitit_slurm.SlurmExecutor):  # type: ignore[misc]
    """Submits `<folder>/job.sbatch` with sbatch."""

    job_class = CuratorSlurmJob

    @classmethod
    def affinity(cls) -> int:
        return 2 if client.is_available() else -1

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        return client.submit_command(self.folder, submission_file_path, self.call)

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode(errors="replace")
        try:
            return parse_job_id(text)[0]
        except ValueError as error:
            raise utils.FailedSubmissionError(str(error)) from error

    def _submit_command(self, command: str) -> CuratorSlurmJob:
        del command
        assert self.script is not None
        line = self._make_submission_command(self.script)
        submitted = client.Slurm().submit(line, self.folder, self.call.comment)
        job = self.job_class(self.folder, submitted.job_id)
        job.slurm_cluster = submitted.cluster
        job.removed_variables = submitted.removed_variables
        return job


class CuratorLocalJob(_OutcomeJob, submitit_local.LocalJob):  # type: ignore[misc]
    """A run's detached process on this machine."""

    pid: int = 0
    pid_started: float | None = None

    def get_info(self, mode: str = "force") -> dict[str, str]:
        del mode
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # else it stays a zombie as long as we live
        running = is_process_alive(self.pid, self.pid_started)
        return {"jobState": "RUNNING" if running else "FINISHED"}

    def cancel(self, check: bool = True) -> None:
        del check
        stop_process(self.pid, self.pid_started, signal.SIGTERM)

    def __del__(self) -> None:
        """Nothing: the run goes on when its handle is gone."""


class CuratorLocalExecutor(_ScriptExecutor, submitit_local.LocalExecutor):  # type: ignore[misc]
    """Starts `<folder>/job.sbatch` as a process of its own session on this machine."""

    job_class = CuratorLocalJob
    job_id: str | None = None
    """The id of the next job, where it is known before; else a new one is made."""

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        """bash with the script, in the run directory."""
        words = [str(self.folder), str(submission_file_path), *self.call.arguments]
        return ["bash", "-c", 'cd -- "$0" && exec bash "$@"', *words]

    def _submit_command(self, command: str) -> CuratorLocalJob:
        del command
        assert self.script is not None
        job_id = self.job_id or new_local_job_id()
        environment = {**local_environment(os.environ), LOCAL_JOB_ID_VARIABLE: job_id}
        output = RunPaths(self.folder).slurm_log(job_id)
        try:
            pid = start_detached(self._make_submission_command(self.script), environment, output=output)
        except OSError as error:
            raise StorageError(f"cannot start {self.script}: {error.strerror or error}") from error
        job = self.job_class(self.folder, job_id)
        job.pid = pid
        job.pid_started = _creation_time(pid)
        return job


def new_local_job_id() -> str:
    """An id for a job without Slurm; ids sort by time."""
    return f"local-{int(time.time())}-{secrets.randbelow(10**6):06d}"


def _creation_time(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


class _AttemptEnvironment(job_environment.JobEnvironment):  # type: ignore[misc]
    """What a node agent wants to know of its job, beyond submitit's properties."""

    @property
    def restart_count(self) -> int:
        """How often Slurm has started this job before."""
        return int(os.environ.get("SLURM_RESTART_COUNT") or 0)

    @property
    def attempt_name(self) -> str:
        """The name of the attempt's directory."""
        return f"{self.job_id}.{self.restart_count}"

    @property
    def is_head(self) -> bool:
        return int(self.node) == 0


class CuratorSlurmJobEnvironment(_AttemptEnvironment, submitit_slurm.SlurmJobEnvironment):  # type: ignore[misc]
    """A step of a Slurm job, submitted by us or by hand, or started inside an allocation of salloc."""

    def activated(self) -> bool:
        """Only inside a run of ours: submitit's own jobs keep submitit's environment."""
        return RUN_DIR_VARIABLE in os.environ and "SLURM_JOB_ID" in os.environ

    @property
    def num_nodes(self) -> int:
        """Nodes of the job, also where the step has fewer."""
        return int(os.environ.get("SLURM_JOB_NUM_NODES") or os.environ.get("SLURM_NNODES") or 1)

    @property
    def hostnames(self) -> list[str]:
        """Nodes of the job in Slurm's order, which is that of `node`."""
        text = os.environ.get("SLURM_JOB_NODELIST") or os.environ.get("SLURM_NODELIST") or ""
        return expand_nodelist(text) or [self.hostname]


class CuratorLocalJobEnvironment(_AttemptEnvironment):
    """A local run: this machine is the only node."""

    _env: ClassVar[dict[str, str]] = {
        "job_id": LOCAL_JOB_ID_VARIABLE,
        "num_tasks": "CURATOR_SLURM_NTASKS",
        "num_nodes": "CURATOR_SLURM_NNODES",
        "node": "CURATOR_SLURM_NODEID",
        "global_rank": "CURATOR_SLURM_PROCID",
        "local_rank": "CURATOR_SLURM_LOCALID",
    }

    def activated(self) -> bool:
        return RUN_DIR_VARIABLE in os.environ and LOCAL_JOB_ID_VARIABLE in os.environ

    @property
    def restart_count(self) -> int:
        """A local run is started once."""
        return 0

    @property
    def hostname(self) -> str:
        return socket.gethostname()


def current_job_environment(environ: Mapping[str, str] | None = None) -> _AttemptEnvironment | None:
    """The job that this process runs in; None outside of one.

    The local one comes first: a local run may be started inside an allocation.
    """
    environ = os.environ if environ is None else environ
    choices: list[tuple[str, Callable[[], _AttemptEnvironment]]] = [
        (LOCAL_JOB_ID_VARIABLE, CuratorLocalJobEnvironment),
        ("SLURM_JOB_ID", CuratorSlurmJobEnvironment),
    ]
    return next((make() for variable, make in choices if variable in environ), None)
