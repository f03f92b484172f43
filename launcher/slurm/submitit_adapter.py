"""Submission through submitit: its executors and jobs, extended for the script of a run.

submitit pickles a function and writes the script around it. Here the script is the rendered plan, `job.sbatch` in the
run directory, and nothing is pickled: the executors hand over that script as it is and leave no file of submitit's.
The handle of a whole run, with its state and its result, is `curator_slurm.Job`; the jobs made here are what one
submission's record is written from.

This module imports submitit; import it only where something is really submitted.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from submitit.local import local as submitit_local
from submitit.slurm import slurm as submitit_slurm

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.local_process import JOB_ID_VARIABLE
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.slurm import client
from curator_slurm.launcher.slurm.client import SbatchCall
from curator_slurm.launcher.slurm.detached import local_environment, start_detached

_IN_OWN_FOLDER = 'cd -- "$0" && [[ -O . ]] && exec bash "$@"'
"""The script is read from the folder that was looked at, whatever its path leads to by now."""


class CuratorSlurmJob(submitit_slurm.SlurmJob):  # type: ignore[misc]
    """A job or an array that sbatch accepted."""

    slurm_cluster: str | None = None
    removed_variables: tuple[str, ...] = ()


class CuratorSlurmExecutor(submitit_slurm.SlurmExecutor):  # type: ignore[misc]
    """Submits scripts of the run directory `folder` with sbatch."""

    @classmethod
    def affinity(cls) -> int:
        """Available where there is sbatch; submitit looks for srun, which some login nodes do not have."""
        return 2 if client.is_available() else -1

    def submit_script(self, script: Path, call: SbatchCall) -> CuratorSlurmJob:
        """Submit a script; `call` has the options of this submission alone."""
        command = client.submit_command(self.folder, script, call)
        submitted = client.Slurm().submit(command, self.folder, call.comment)
        job = CuratorSlurmJob(self.folder, submitted.job_id)
        job.slurm_cluster = submitted.cluster
        job.removed_variables = submitted.removed_variables
        return job


class CuratorLocalJob(submitit_local.LocalJob):  # type: ignore[misc]
    """A detached process of this machine that runs the script."""

    pid: int = 0
    pid_started: float | None = None

    def __del__(self) -> None:
        """Nothing: the run goes on when its handle is gone."""


class CuratorLocalExecutor(submitit_local.LocalExecutor):  # type: ignore[misc]
    """Starts scripts of the run directory `folder` as processes of their own session on this machine."""

    def submit_script(self, script: Path, call: SbatchCall, job_id: str) -> CuratorLocalJob:
        """Start a script as the job of this id; of `call` only the arguments matter here."""
        job = CuratorLocalJob(self.folder, job_id)
        environment = {**local_environment(os.environ), JOB_ID_VARIABLE: job.job_id}
        own = str(script.relative_to(self.folder))
        command = ["bash", "-c", _IN_OWN_FOLDER, str(self.folder), f"./{own}", *call.arguments]
        try:
            job.pid = start_detached(command, environment, output=RunPaths(self.folder).slurm_log(job.job_id))
        except OSError as error:
            raise StorageError(f"cannot start {script}: {error.strerror or error}") from error
        job.pid_started = _creation_time(job.pid)
        return job


def _creation_time(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
