"""submitit's executors, extended: scripts of ours in, jobs out, nothing of submitit's left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import submitit
from fake_slurm import FakeSlurm
from run_dirs import new_run

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.local_process import is_process_alive, reap, stop_job, wait_for_end
from curator_slurm.launcher.slurm.client import SbatchCall
from curator_slurm.launcher.slurm.detached import new_local_job_id
from curator_slurm.launcher.slurm.submitit_adapter import CuratorLocalExecutor, CuratorSlurmExecutor

SCRIPT = """#!/bin/bash
#SBATCH --output=slurm-%j.log
env > environment; echo hello $*; sleep {seconds}
"""


def run_dir(tmp_path: Path, seconds: float = 0) -> Path:
    return new_run(tmp_path, script=SCRIPT.format(seconds=seconds)).paths.root


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_sbatch_gets_our_script_and_submitit_leaves_nothing(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_QOS", "high")
    fake_slurm.remove_command("srun")
    folder = run_dir(tmp_path)
    before = names(folder)
    executor = CuratorSlurmExecutor(folder)
    job = executor.submit_script(folder / "job.sbatch", SbatchCall(comment="ours", arguments=["0000"]))
    fake_slurm.wait(job.job_id)
    assert fake_slurm.calls_of("sbatch") == [
        ["--parsable", f"--chdir={folder}", "--comment=ours", str(folder / "job.sbatch"), "0000"]
    ]
    assert names(folder) - before == {"environment", f"slurm-{job.job_id}.log"}
    assert (isinstance(executor, submitit.SlurmExecutor), isinstance(job, submitit.SlurmJob)) == (True, True)
    assert (job.slurm_cluster, job.removed_variables) == (None, ("SBATCH_QOS",))


def test_a_local_run_is_a_session_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("HF_HOME", "/data")
    folder = run_dir(tmp_path / "50%a %j", seconds=0.2)
    before = names(folder)
    executor = CuratorLocalExecutor(folder)
    job = executor.submit_script(folder / "job.sbatch", SbatchCall(arguments=["0000"]), "local-1-2")
    assert (isinstance(executor, submitit.LocalExecutor), isinstance(job, submitit.LocalJob)) == (True, True)
    assert Path(f"/proc/{job.pid}/stat").read_text().split()[5] == str(job.pid)
    assert wait_for_end(job.pid, job.pid_started, 30)
    assert names(folder) - before == {"environment", "slurm-local-1-2.log"}
    assert (folder / "slurm-local-1-2.log").read_text() == "hello 0000\n"
    lines = (folder / "environment").read_text().splitlines()
    assert "CURATOR_SLURM_JOB_ID=local-1-2" in lines
    assert "HF_HOME=/data" in lines
    assert not any(line.startswith(("SLURM_", "RAY_", "PYTHONPATH")) for line in lines)


def test_a_process_that_cannot_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_dir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StorageError, match="cannot start"):
        CuratorLocalExecutor(folder).submit_script(folder / "job.sbatch", SbatchCall(), "local-1-2")


def test_ids_of_local_runs_hold_the_time() -> None:
    word, seconds, digits = new_local_job_id().split("-")
    assert word == "local"
    assert abs(int(seconds) - time.time()) < 5
    assert digits.isdigit()


def test_a_process_that_is_being_replaced_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it executes another program, its environment is empty for a moment."""
    folder = run_dir(tmp_path, seconds=60)
    job = CuratorLocalExecutor(folder).submit_script(folder / "job.sbatch", SbatchCall(), "local-1-2")
    real, looks = psutil.Process.environ, []

    def environ(process: psutil.Process) -> dict[str, str]:
        looks.append(process.pid)
        return {} if len(looks) < 4 else real(process)

    monkeypatch.setattr(psutil.Process, "environ", environ)
    assert stop_job(job.pid, job.pid_started, "local-1-2", signal.SIGKILL)
    assert wait_for_end(job.pid, job.pid_started, 30)
    assert len(looks) == 4
    reap(job.pid, job.pid_started)


def test_another_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    folder = run_dir(tmp_path, seconds=60)
    job = CuratorLocalExecutor(folder).submit_script(folder / "job.sbatch", SbatchCall(), "local-1-2")
    assert job.pid_started is not None
    assert stop_job(job.pid, job.pid_started - 100, "local-1-2", signal.SIGKILL)
    assert not stop_job(job.pid, job.pid_started, "local-1-3", signal.SIGKILL), "it was started for another job"
    assert not stop_job(job.pid, None, "local-1-2", signal.SIGKILL), "it may be a later one with this number"
    assert is_process_alive(job.pid, job.pid_started)
    assert stop_job(job.pid, job.pid_started, "local-1-2", signal.SIGKILL)
    assert wait_for_end(job.pid, job.pid_started, 30)
    reap(job.pid, job.pid_started - 100)
    reap(job.pid, job.pid_started)
    with pytest.raises(ChildProcessError):
        os.waitpid(job.pid, os.WNOHANG)
    reap(job.pid, job.pid_started)
