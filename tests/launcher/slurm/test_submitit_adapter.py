"""submitit's classes, extended: scripts of ours in, job handles out, nothing of submitit's left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import submitit
from fake_slurm import FakeSlurm
from run_dirs import new_attempt, new_run, outcome
from submitit.core import core, plugins
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from curator_slurm.launcher.local_process import stop_process, wait_for_end
from curator_slurm.launcher.slurm import submitit_adapter
from curator_slurm.launcher.slurm.client import SbatchCall
from curator_slurm.launcher.slurm.submitit_adapter import (
    CuratorLocalExecutor,
    CuratorLocalJob,
    CuratorLocalJobEnvironment,
    CuratorSlurmExecutor,
    CuratorSlurmJob,
    CuratorSlurmJobEnvironment,
    current_job_environment,
)

SCRIPT = """#!/bin/bash
#SBATCH --output=slurm-%j.log
env > environment; echo hello; sleep {seconds}
"""


def run_dir(tmp_path: Path, seconds: float = 0) -> Path:
    return new_run(tmp_path, script=SCRIPT.format(seconds=seconds)).paths.root


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def fresh_watcher() -> None:
    CuratorSlurmJob.watcher.clear()
    CuratorSlurmJob.watcher._registered.clear()


def test_sbatch_gets_our_script_and_submitit_leaves_nothing(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    folder = run_dir(tmp_path)
    before = names(folder)
    executor = CuratorSlurmExecutor(folder)
    job = executor.submit_script()
    fake_slurm.wait(job.job_id)
    (call,) = fake_slurm.calls_of("sbatch")
    assert call == ["--parsable", f"--chdir={folder}", str(folder / "job.sbatch")]
    assert names(folder) - before == {"environment", f"slurm-{job.job_id}.log"}
    assert isinstance(executor, submitit.SlurmExecutor)
    assert isinstance(job, submitit.SlurmJob)
    assert executor._make_submission_file_text("", "") == (folder / "job.sbatch").read_text()


def test_the_handle_tells_state_output_and_result_without_accounting(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(accounting=False)
    run = new_run(tmp_path, script=SCRIPT.format(seconds=0))
    job = CuratorSlurmExecutor(run.paths.root).submit_script()
    fake_slurm.wait(job.job_id)
    assert job.done(force_check=True)
    assert job.state == "COMPLETED"
    assert job.stdout() == job.stderr() == "hello\n"
    with pytest.raises(UncompletedJobError, match="left no outcome"):
        job.result()
    attempt = new_attempt(run, job.job_id)
    content = outcome(attempt)
    assert job.result() == content
    outcome(attempt, "failed", message="the pipeline raised")
    assert isinstance(job.exception(), FailedJobError)
    assert "the pipeline raised" in str(job.exception())


def test_a_running_job_is_not_done_and_can_be_cancelled(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    job = CuratorSlurmExecutor(run_dir(tmp_path, seconds=60)).submit_script()
    fake_slurm.wait(job.job_id, "RUNNING")
    assert not job.done(force_check=True)
    job.cancel()
    fake_slurm.wait(job.job_id, "CANCELLED")
    assert job.done(force_check=True)


def test_the_watcher_asks_for_all_jobs_at_once(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    jobs = [CuratorSlurmExecutor(run_dir(tmp_path)).submit_script() for _ in range(3)]
    for job in jobs:
        fake_slurm.wait(job.job_id)
    assert all(job.done() for job in jobs)
    assert len(fake_slurm.calls_of("squeue")) == 1


def test_elements_of_an_array_have_handles_of_their_own(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    script = SCRIPT.format(seconds=0).replace("slurm-%j", "elements/slurm-%A_%a")
    run = new_run(tmp_path, script=script)
    run.paths.elements.mkdir()
    array = CuratorSlurmExecutor(run.paths.root).submit_script(SbatchCall(array="0-1", arguments=["0000"]))
    fake_slurm.wait(array.job_id)
    element = array.element(1)
    assert (element.done(force_check=True), element.state, element.stdout()) == (True, "COMPLETED", "hello\n")
    for restart, state in enumerate(["failed", "completed"]):
        folder = run.paths.element(element.job_id, restart)
        folder.mkdir()
        (folder / "outcome.json").write_text(json.dumps({"state": state}))
    assert element.result() == {"state": "completed"}
    with pytest.raises(UncompletedJobError, match="left no outcome"):
        array.element(0).result()


def test_functions_are_refused(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="submit_script"):
        CuratorSlurmExecutor(run_dir(tmp_path)).submit(print, 1)


def test_an_answer_without_an_id_is_an_error() -> None:
    assert CuratorSlurmExecutor._get_job_id_from_submission_command(b"12;lab\n") == "12"
    with pytest.raises(FailedSubmissionError):
        CuratorSlurmExecutor._get_job_id_from_submission_command("hm")


def wait_until_over(job: CuratorLocalJob) -> None:
    assert wait_for_end(job.pid, job.pid_started, 30)


def test_a_local_run_is_a_session_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("HF_HOME", "/data")
    folder = run_dir(tmp_path, seconds=0.2)
    before = names(folder)
    executor = CuratorLocalExecutor(folder)
    job = executor.submit_script()
    assert isinstance(executor, submitit.LocalExecutor)
    assert Path(f"/proc/{job.pid}/stat").read_text().split()[5] == str(job.pid)
    assert job.state == "RUNNING"
    wait_until_over(job)
    assert job.done()
    assert job.stdout() == "hello\n"
    assert names(folder) - before == {"environment", f"slurm-{job.job_id}.log"}
    lines = (folder / "environment").read_text().splitlines()
    assert f"CURATOR_SLURM_JOB_ID={job.job_id}" in lines
    assert "HF_HOME=/data" in lines
    assert not any(line.startswith(("SLURM_", "RAY_", "PYTHONPATH")) for line in lines)


def test_ids_of_local_runs_hold_the_time() -> None:
    word, seconds, digits = submitit_adapter.new_local_job_id().split("-")
    assert word == "local"
    assert abs(int(seconds) - time.time()) < 5
    assert digits.isdigit()


def test_a_local_run_ends_when_told_to(tmp_path: Path) -> None:
    job = CuratorLocalExecutor(run_dir(tmp_path, seconds=60)).submit_script()
    job.cancel()
    wait_until_over(job)
    assert job.state == "FINISHED"


def test_another_process_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    job = CuratorLocalExecutor(run_dir(tmp_path, seconds=60)).submit_script()
    assert job.pid_started is not None
    import signal

    stop_process(job.pid, job.pid_started - 100, signal.SIGKILL)
    assert job.state == "RUNNING"
    stop_process(job.pid, job.pid_started, signal.SIGKILL)
    wait_until_over(job)


def clear(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("SLURM_", "CURATOR_SLURM_", "SUBMITIT_")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_environment_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(
        monkeypatch,
        SLURM_JOB_ID="12",
        SLURM_RESTART_COUNT="2",
        SLURM_NODEID="1",
        SLURM_JOB_NUM_NODES="3",
        SLURM_JOB_NODELIST="n[01-02],gpu7",
    )
    environment = current_job_environment()
    assert isinstance(environment, CuratorSlurmJobEnvironment)
    assert environment.attempt_name == "12.2"
    assert list(environment.hostnames) == ["n01", "n02", "gpu7"]
    assert (environment.node, environment.num_nodes, environment.is_head) == (1, 3, False)


def test_environment_of_an_array_element_and_of_an_allocation_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(monkeypatch, SLURM_JOB_ID="15", SLURM_ARRAY_JOB_ID="12", SLURM_ARRAY_TASK_ID="3", SLURM_NODELIST="n1")
    environment = current_job_environment()
    assert environment is not None
    assert environment.attempt_name == "12_3.0"
    assert list(environment.hostnames) == ["n1"]
    assert environment.num_nodes == 1
    assert environment.is_head


def test_environment_of_a_local_run_inside_an_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(monkeypatch, SLURM_JOB_ID="15", CURATOR_SLURM_JOB_ID="local-1-2", SLURM_RESTART_COUNT="1")
    environment = current_job_environment()
    assert isinstance(environment, CuratorLocalJobEnvironment)
    assert environment.attempt_name == "local-1-2.0"
    assert environment.is_head


def test_outside_of_a_job_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(monkeypatch)
    assert current_job_environment() is None


def test_submitit_knows_our_environment_and_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "curatorslurm" in plugins.get_job_environments()
    clear(monkeypatch, SLURM_JOB_ID="1", SUBMITIT_EXECUTOR="slurm")
    assert submitit.JobEnvironment().name() == "slurm"
    clear(monkeypatch, SLURM_JOB_ID="1")
    with pytest.raises(RuntimeError):
        submitit.JobEnvironment()
    clear(monkeypatch, SLURM_JOB_ID="1", CURATOR_SLURM_RUN_DIR="/x")
    assert submitit.JobEnvironment().name() == "curatorslurm"


def test_a_damaged_outcome_is_no_result(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = new_run(tmp_path)
    attempt = new_attempt(run, "5")
    attempt.outcome.write_text("{")
    job: core.Job[object] = CuratorSlurmJob(run.paths.root, "5")
    with pytest.raises(UncompletedJobError, match="damaged"):
        job._get_outcome_and_result()
    attempt.outcome.write_text(json.dumps({"state": "cancelled"}))
    assert job._get_outcome_and_result() == ("error", "cancelled")
