"""However a run ends, and whoever looks next: nothing secret of it stays."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import (
    event,
    fake_python,
    new_attempt,
    new_run,
    outcome,
    own_home,
    submit_again,
    submitted_run,
    write_spec,
)
from sharded_runs import fail, publish, sharded_run

from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.operations import sweep
from curator_slurm.launcher.runs.lock import RunLock, is_locked
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.secrets import REMOVING, remove_secrets_if, write_secrets
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission
from curator_slurm.launcher.status import gather
from curator_slurm.launcher.status.watch import Watcher

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "fake_slurm")


def call(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.output


def wait_for(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := check()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def with_secrets(run: Run) -> Run:
    write_secrets(run.paths, {"MY_TOKEN": "s3cret"})
    (run.paths.secrets / "ray-token.4711.0").write_text("t0ken")
    return run


def cut_off(folder: Path, **more: Any) -> Run:
    """A run whose nodes lost their power: Slurm has forgotten the job, and nobody wrote how it ended."""
    run = with_secrets(submitted_run(folder, **more))
    attempt = new_attempt(run)
    os.utime(attempt.cluster.heartbeat, (1, 1))
    return run


VERBS = {
    "status": lambda run: call("status", run.run_id),
    "status --json": lambda run: call("status", run.run_id, "--json"),
    "list": lambda run: call("list"),
    "watch": lambda run: call("watch", run.run_id),
    "logs -f": lambda run: call("logs", "-f", run.run_id),
    "cancel": lambda run: call("cancel", run.run_id),
    "poll": lambda run: Watcher(load_run(run.paths.root), patience_s=60).poll(),
}


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


# The four endings


@pytest.mark.parametrize("shards", [{}, {"shards": {"count": 1}, "input": {"paths": "*.jsonl"}}])
def test_a_pending_run_that_is_cancelled(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: dict[str, Any]
) -> None:
    python = fake_python(tmp_path / "python")
    (tmp_path / "data.jsonl").write_text("{}\n")
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    fake_slurm.pause()
    spec = write_spec(tmp_path, python, environment={"python": str(python), "secrets": ["MY_TOKEN"]}, **shards)
    run_dir = Path(json.loads(call("submit", spec, "--json"))["run_dir"])
    assert (run_dir / "secrets" / "environment.json").exists()
    call("cancel", run_dir)
    assert not (run_dir / "secrets").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_head_that_lost_its_power(runs_dir: Path, verb: str) -> None:
    run = cut_off(runs_dir)
    VERBS[verb](run)
    assert not run.paths.secrets.exists()


def test_a_run_that_is_over_beside_one_that_is_not(fake_slurm: FakeSlurm, runs_dir: Path, tmp_path: Path) -> None:
    fake_slurm.pause()
    python = fake_python(tmp_path / "python")
    call("submit", write_spec(tmp_path, python, name="pending"), "--set", f"storage.runs={runs_dir}")
    run = cut_off(runs_dir)
    assert "pending" in call("list")
    assert not run.paths.secrets.exists()
    assert len(list(runs_dir.glob("pending/*/secrets"))) == 1


def ended(run: Run, element: str) -> None:
    """The end of an element, as its agent does it."""
    cluster = ClusterPaths(run.paths.elements / element, run.paths)
    cluster.root.mkdir(exist_ok=True)
    cluster.token.write_text("t0ken")
    write_json(cluster.outcome, {"schema": 1, "state": "failed"})
    remove_secrets_of(cluster, array=True)


def test_a_sharded_run_that_nobody_collects(tmp_path: Path) -> None:
    run = with_secrets(sharded_run(tmp_path, 3))
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=time.time(), comment="", elements=3, shards=3, array="0-2", job_id="4711"
    )
    write_submission(run.paths, record, [Element(shard, (shard,)) for shard in range(3)], {})
    (run.paths.elements / "4711_0.0").mkdir()
    publish(run, 1)
    ended(run, "4711_1.0")
    assert run.paths.secret_environment.exists(), "element 0 runs, element 2 is to come"
    assert not list(run.paths.secrets.glob("*4711_1.0")), "its token is nobody's any more"
    fail(run, 2, "4711_2.0", "app_failed")
    ended(run, "4711_2.0")
    assert run.paths.secret_environment.exists(), "element 0 runs"
    ended(run, "4711_0.0")
    assert not run.paths.secrets.exists()


@pytest.mark.parametrize("who", ["status", "submit"])
def test_a_run_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    python = fake_python(tmp_path / "python", sleep=60)
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    spec = write_spec(tmp_path, python, environment={"python": str(python), "secrets": ["MY_TOKEN"]})
    run = load_run(Path(json.loads(call("submit", spec, "--cluster", "local", "--json"))["run_dir"]))
    wait_for(lambda: list(run.paths.attempts.glob("*/*/driver.log")))
    call("status", run.paths.root)
    assert run.paths.secret_environment.exists(), "it runs"
    (record,) = run.paths.submissions.glob("*/submission.json")
    process = json.loads(record.read_text())["pid"]
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    again = ["submit", spec, "--cluster", "local"]
    call(*(again if who == "submit" else ["status", run.paths.root]))
    assert not run.paths.secrets.exists()


def test_a_run_that_failed_beside_one_that_is_retried(fake_slurm: FakeSlurm, runs_dir: Path, tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python")
    fake_slurm.pause()
    spec = write_spec(tmp_path, python, name="again")
    run = json.loads(call("submit", spec, "--set", f"storage.runs={runs_dir}", "--json"))["run_id"]
    call("cancel", run)
    other = cut_off(runs_dir)
    call("retry", run, "--dry-run")
    assert other.paths.secrets.exists()
    assert "Submitted the run again" in call("retry", run)
    assert not other.paths.secrets.exists()
    assert len(list(runs_dir.glob("again/*/secrets"))) == 1


def test_logs_of_a_run_that_completed_by_its_files(fake_slurm: FakeSlurm, runs_dir: Path) -> None:
    run = with_secrets(submitted_run(runs_dir))
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    call("logs", run.run_id)
    assert run.paths.secrets.exists(), "it runs"
    outcome(attempt)
    call("logs", run.run_id)
    assert not run.paths.secrets.exists()
    assert not fake_slurm.calls_of("squeue")


# What must not happen


@pytest.mark.long
def test_a_run_that_may_go_on_keeps_them(fake_slurm: FakeSlurm, runs_dir: Path) -> None:
    fresh = with_secrets(new_run(runs_dir, name="fresh"))
    call("status", fresh.run_id)
    assert fresh.paths.secret_environment.exists(), "its submit is still about to take the lock"
    run = cut_off(runs_dir)
    error = "squeue: error: slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
    fake_slurm.fail_next("squeue", stderr=error, times=50)
    call("list")
    assert run.paths.secret_environment.exists(), "Slurm could not be asked"


def test_a_retry_in_between_keeps_its_own(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = cut_off(runs_dir)
    decide = gather.Gathered.decide

    def decide_slowly(self: gather.Gathered) -> Any:
        status = decide(self)
        submit_again(run, "4712")
        return status

    monkeypatch.setattr(gather.Gathered, "decide", decide_slowly)
    call("status", run.run_id)
    assert run.paths.secret_environment.exists()


def test_somebody_who_submits_is_not_disturbed(runs_dir: Path) -> None:
    run = cut_off(runs_dir)
    lock = run.paths.lock("submissions")
    with RunLock(lock, "retry"):
        remove_secrets_if(run.paths, lambda: True)
        assert is_locked(lock, REMOVING)
    assert run.paths.secret_environment.exists()
    with RunLock(lock, REMOVING):
        assert is_locked(lock)
        assert not is_locked(lock, REMOVING), "nothing is being submitted"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")
def test_those_of_others_are_theirs(runs_dir: Path) -> None:
    run = cut_off(runs_dir)
    for path in (run.paths.root, *run.paths.root.rglob("*")):
        os.chown(path, 65534, 65534)
    call("status", run.paths.root)
    call("list", "--runs-dir", runs_dir)
    assert run.paths.secret_environment.exists()


def test_the_sweep_opens_nothing_but_runs_with_secrets(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "NEWEST", 5)
    runs = [cut_off(runs_dir, name=f"run{number}") for number in range(7)]
    clean = [new_run(runs_dir, name=f"clean{number}") for number in range(2)]
    for each in clean:
        each.paths.secrets.rmdir()
    order = sorted([*runs, *clean], key=lambda run: run.run_id, reverse=True)
    opened: list[Path] = []
    monkeypatch.setattr(sweep, "load_run", lambda path: (opened.append(path), load_run(path))[1])
    sweep.sweep_secrets(runs_dir, but=order[0].paths.root)
    looked_at = [run for run in order[1:5] if run in runs]
    assert opened == [run.paths.root for run in looked_at]
    assert [run for run in runs if not run.paths.secrets.exists()] == [run for run in runs if run in looked_at]
