"""`Job`, the handle of a run: state, end, outputs, logs, and what a notebook does with it."""

from __future__ import annotations

import asyncio
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import submitit
import submitit.helpers
from fake_slurm import FakeSlurm
from run_dirs import fake_python, keep_element, new_attempt, outcome, own_home, submitted_run, write_spec
from sharded_runs import orders, plan, submit_shards
from slurm_cluster.waiting import wait_for

import curator_slurm
from curator_slurm import Job, job, submit
from curator_slurm.launcher.errors import (
    RunCancelledError,
    RunFailedError,
    RunIncompleteError,
    RunNotFoundError,
    SpecError,
    StorageError,
    UsageError,
    WaitTimeoutError,
)
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.states import RunState

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def slurm_jobs(fake_slurm: FakeSlurm) -> FakeSlurm:
    """A fake Slurm whose jobs have steps."""
    keep_element(fake_slurm)
    return fake_slurm


@pytest.fixture(autouse=True)
def fresh_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the fake Slurm every second."""
    Job.watcher.clear()
    Job.watcher._registered.clear()
    monkeypatch.setattr(Job.watcher, "_delay_s", 1)


def spec(folder: Path, **orders: Any) -> Path:
    return write_spec(folder, fake_python(folder / "python", **orders))


def test_from_pending_to_the_outputs(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    slurm_jobs.pause()
    run = submit(spec(tmp_path))
    assert (run.state, run.done(), run.outputs) == (RunState.PENDING, False, None)
    assert run.state == "pending"
    slurm_jobs.resume()
    status = run.result(300)
    assert (status.state, status.paths.outputs, run.outputs) == (
        RunState.COMPLETED, str(run.run_dir / "outputs"), run.run_dir / "outputs",
    )  # fmt: skip
    assert (run.exception(), run.done(), run.results()) == (None, True, [run.status()])
    assert run.stdout() == run.stderr() == run.logs() == "driver line 1\ndriver line 2\n"
    assert run.logs(1) == "driver line 2\n"
    assert "agent is here" in run.logs(slurm=True)
    assert [file.kind for file in run.log_files()] == ["driver", "slurm"]
    assert (run.paths.folder, run.paths.submission_file) == (run.run_dir, run.run_dir / "job.sbatch")


def test_a_failure_has_its_class_evidence_and_next_step(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    details = {
        "failure_class": "out_of_memory", "message": "a worker was killed", "evidence": ["oom_kill event"],
        "next_step": "ask for more memory",
    }  # fmt: skip
    run = submit(spec(tmp_path, state="failed", outcome=details))
    with pytest.raises(RunFailedError) as caught:
        run.result(300)
    error = caught.value
    assert (error.run_id, error.failure_class, error.evidence, error.next_step) == (
        run.run_id, FailureClass.OUT_OF_MEMORY, ("oom_kill event",),
        f"ask for more memory; then `curator-slurm retry {run.run_id}`, with `--set KEY=VALUE` for what is to change.",
    )  # fmt: skip
    for part in ("demo", run.run_id, "failed (out_of_memory)", *("a worker was killed", "oom_kill", "ask for more")):
        assert part in str(error)
    assert str(run.exception()) == str(error)
    with pytest.raises(SpecError, match="`name` cannot change"):
        run.retry(overrides={"name": "other"})
    fake_python(tmp_path / "python")
    assert run.retry(overrides={"resources.mem_per_node": "2G"}).result(300).state is RunState.COMPLETED
    assert run.job_ids == [str(each.id) for each in slurm_jobs.jobs]
    assert run.retry().job_ids == run.job_ids


@pytest.mark.long
@pytest.mark.usefixtures("slurm_jobs")
@pytest.mark.parametrize(("cluster", "state"), [("slurm", "completed"), ("local", "failed")])
def test_it_has_ended_when_its_agent_has(tmp_path: Path, cluster: str, state: str) -> None:
    gate = tmp_path / "gate"
    run = submit(spec(tmp_path, state=state, gate=str(gate)), cluster=cluster)
    wait_for("the attempt's outcome", lambda: list(run.run_dir.glob("attempts/*/*/outcome.json")))
    assert not run.done(force_check=True)
    assert (run.status().state, run.status().ended) == (RunState.RUNNING, None)
    assert run.retry().job_ids == [run.job_id]
    gate.touch()
    assert run.wait(300).state == state


@pytest.mark.long
@pytest.mark.parametrize("check", [True, False])
def test_a_cancelled_run(slurm_jobs: FakeSlurm, tmp_path: Path, check: bool) -> None:
    run = submit(spec(tmp_path, sleep=60))
    slurm_jobs.wait(run.job_id, "RUNNING")
    run.cancel(check)
    with pytest.raises(RunCancelledError, match="was cancelled"):
        run.result(300)
    assert run.state is RunState.CANCELLED
    run.cancel()


def test_a_sharded_run_and_each_of_its_shards(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    the_plan = plan(tmp_path, output={"path": str(tmp_path / "dataset")})
    started = submit_shards(tmp_path, 3, the_plan, {1: "out_of_memory"}).run
    run = Job(started.paths.root)
    with pytest.raises(RunIncompleteError) as caught:
        run.result(300)
    assert caught.value.failure_class is FailureClass.OUT_OF_MEMORY
    assert [(each.shard, each.failure_class) for each in run.failed_shards()] == [(1, FailureClass.OUT_OF_MEMORY)]
    assert (run.shard(0).state, run.shard(1).state, run.shard(1).input.files) == ("done", "failed", 1)
    assert run.outputs == run.run_dir / "outputs"
    with pytest.raises(UsageError, match="no shard 3"):
        run.shard(3)
    with pytest.raises(RunIncompleteError):
        run.collect()
    assert run.retry(classes=["app_failed"]).job_ids == run.job_ids[:1]
    orders(started, {})
    status = run.retry(classes=["out_of_memory"], shards=[1]).result(300)
    assert (status.shards.done, len(run.job_ids), run.failed_shards()) == (3, 2, ())
    with pytest.raises(UsageError, match="no failure class 'oom'"):
        run.retry(classes=["oom"])


def test_waiting_has_an_end_of_its_own(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    slurm_jobs.pause()
    run = submit(spec(tmp_path))
    for wait in (run.wait, run.result, run.exception):
        with pytest.raises(WaitTimeoutError, match=f"run {run.run_id} has not ended after 0.05 seconds: pending"):
            wait(0.05)
    with pytest.raises(TimeoutError):
        run.wait(0)


def test_runs_that_exist_are_found(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    slurm_jobs.pause()
    run = submit(spec(tmp_path))
    for found in (job(), job("demo"), job(run.run_id[:10]), job(run.job_id), job(run.run_dir), Job.from_run("demo")):
        assert found.run_dir == run.run_dir
    assert job("demo", runs_dir=tmp_path / "runs").run_id == run.run_id
    with pytest.raises(RunNotFoundError):
        job("other")


def test_slurm_is_asked_for_all_jobs_at_once_and_seldom(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_jobs.pause()
    jobs = [submit(spec(tmp_path)) for _ in range(3)]
    monkeypatch.setattr(Job.watcher, "_start_time", 0.0)  # long after they were submitted
    before = len(slurm_jobs.calls_of("squeue"))
    assert [each.state for _ in range(5) for each in jobs] == [RunState.PENDING] * 15
    assert len(slurm_jobs.calls_of("squeue")) == before + 1
    jobs[0].done(force_check=True)
    assert len(slurm_jobs.calls_of("squeue")) == before + 2


def test_a_job_is_one_of_submitits(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    jobs = [submit(spec(tmp_path)) for _ in range(2)]
    assert all(isinstance(each, submitit.Job) for each in jobs)
    done = list(submitit.helpers.as_completed(jobs, timeout=300, poll_frequency=0.2))
    assert {each.run_id for each in done} == {each.run_id for each in jobs}
    assert asyncio.run(jobs[0].awaitable().result()) == jobs[0].result()
    copy = pickle.loads(pickle.dumps(jobs[0]))
    assert (copy.run_dir, copy.state, copy.task(0)) == (jobs[0].run_dir, RunState.COMPLETED, copy)
    assert jobs[0].get_info() == {"State": "completed"}
    submitit.helpers.monitor_jobs(jobs, poll_frequency=0.1, test_mode=True)


def test_a_handle_that_goes_leaves_the_run_unless_told_otherwise(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    runs = [submit(spec(tmp_path, sleep=60)), submit(spec(tmp_path, sleep=60)).cancel_at_deletion()]
    ids = [run.job_id for run in runs]
    for each in ids:
        slurm_jobs.wait(each, "RUNNING")
    del runs[1]
    slurm_jobs.wait(ids[1], "CANCELLED")
    del runs[0]
    assert slurm_jobs.element(ids[0]).state == "RUNNING"


def test_a_notebook_shows_what_would_mislead(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), "failed", failure_class="app_failed", message="\u202e<b>\x1b[2J", evidence=["\x9b31m"])
    html = Job(run.paths.root)._repr_html_()
    assert "\\u202e&lt;b&gt;\\x1b[2J" in html
    assert "\\x9b31m" in html


def test_a_job_shows_itself(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = Job(submitted_run(tmp_path, name="a-b").paths.root)
    assert repr(run).startswith(f"Job(name='a-b', run_id='{run.run_id}', job_id='4711', state='")
    html = run._repr_html_()
    assert html.startswith("<table>")
    assert run.run_id in html
    assert str(tmp_path) in html
    shutil.rmtree(run.run_dir)
    assert "run.json is missing" in repr(run)
    assert "run.json is missing" in run._repr_html_()
    with pytest.raises(StorageError, match=r"run\.json is missing"):
        run.wait()


LOCAL = {"name": "demo", "cluster": {"ray": False}}


def local(tmp_path: Path, command: str) -> Job:
    return submit(
        {**LOCAL, "pipeline": {"command": command}, "storage": {"runs": str(tmp_path / "runs")}}, cluster="local"
    )


def test_for_real_on_this_machine_in_a_thread(tmp_path: Path) -> None:
    """A notebook's cells run beside other threads, and some of its users start runs from one."""
    made: list[Job | BaseException] = []

    def cell() -> None:
        try:
            run = local(tmp_path, "echo hello; echo text > ${output_dir}/a.txt")
            run.result(300)
            made.append(run)
        except BaseException as error:
            made.append(error)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=cell)
    thread.start()
    thread.join()
    (run,) = made
    assert isinstance(run, Job), run
    assert run.outputs is not None
    assert (run.outputs / "a.txt").read_text() == "text\n"
    assert "hello" in (run.stdout() or "")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    (submission,) = read_submissions(RunPaths(run.run_dir))
    deadline = time.monotonic() + 300
    while submission.record.pid in [child.pid for child in psutil.Process().children()]:
        assert time.monotonic() < deadline, "the process of a run that is over stays a zombie"
        time.sleep(0.05)


@pytest.mark.long
def test_for_real_a_command_that_fails_and_one_that_is_cancelled(tmp_path: Path) -> None:
    failing, endless = local(tmp_path, "echo no >&2; exit 3"), local(tmp_path, "sleep 600")
    with pytest.raises(RunFailedError) as caught:
        failing.result(300)
    assert caught.value.failure_class is FailureClass.APP_FAILED
    assert "exit code 3" in str(caught.value)
    endless.cancel()
    assert endless.state is RunState.CANCELLED


INTERRUPTED = """
    import os, signal, threading
    from curator_slurm import submit

    run = submit({spec!r}, cluster="local")
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        run.wait()
    except KeyboardInterrupt:
        print(run.run_dir, run.done())
"""


@pytest.mark.long
def test_ctrl_c_and_leaving_python_leave_the_run_going(tmp_path: Path) -> None:
    flag = tmp_path / "go"
    command = f"while [ ! -e {flag} ]; do sleep 0.1; done"
    content = {**LOCAL, "pipeline": {"command": command}, "storage": {"runs": str(tmp_path / "runs")}}
    code = textwrap.dedent(INTERRUPTED).format(spec=content)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
        run_dir, ended = done.stdout.split()
        assert (ended, done.stderr) == ("False", "")
        run = curator_slurm.job(run_dir)
        assert not run.done()
    finally:
        flag.touch()  # or the run would outlive a test that fails
    assert run.result(300).state is RunState.COMPLETED
