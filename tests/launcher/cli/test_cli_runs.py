"""The verbs that submit, follow, show, list and cancel runs, as a user would use them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import (
    event,
    fake_python,
    keep_element,
    new_attempt,
    node_status,
    outcome,
    own_home,
    progress,
    submitted_run,
    write_spec,
)
from sharded_runs import publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.slurm.client import Slurm

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "quick_slurm")


@pytest.fixture
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts to reach the controller."""
    monkeypatch.setattr(Slurm, "pauses_s", (0.0,))
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


@pytest.fixture
def slurm_jobs(fake_slurm: FakeSlurm) -> FakeSlurm:
    """A fake Slurm whose jobs have steps."""
    keep_element(fake_slurm)
    return fake_slurm


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill local runs that do not end half a second after they were told to."""
    settings = "curator_slurm.launcher.operations.cancel.cancel_run.__kwdefaults__"
    monkeypatch.setattr(settings, {"patience_s": 5, "grace_s": 0.5})


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, f"{result.stdout}\n{result.stderr}"
    return result


def call_json(*arguments: object, expect: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", expect=expect).stdout)


def in_a_process(arguments: Sequence[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from curator_slurm.launcher.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(check: Any, timeout: float = 30) -> Any:
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def spec(tmp_path: Path, **orders: Any) -> Path:
    return write_spec(tmp_path, fake_python(tmp_path / "python", **orders))


def run_ids(tmp_path: Path) -> list[str]:
    return [path.name for path in registry.run_directories([tmp_path / "runs"])]


# submit


def test_submit_to_slurm_and_follow(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    result = call("submit", spec(tmp_path))
    (run_id,) = run_ids(tmp_path)
    assert run_id in result.stdout
    assert "Slurm: sbatch is on PATH" in result.stdout
    assert f"curator-slurm watch {run_id}" in result.stdout
    (job,) = slurm_jobs.jobs
    slurm_jobs.wait(job.id)
    shown = call_json("status", job.id)
    assert (shown["run_id"], shown["state"], shown["cluster"]) == (run_id, "completed", "slurm")
    assert shown["paths"]["outputs"].endswith("/outputs")


def test_a_run_in_the_folder_of_one_shell_is_found_by_the_next(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "storage": {}}))
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "elsewhere"))
    run_id = call_json("submit", path)["run_id"]
    monkeypatch.delenv("CURATOR_SLURM_RUNS")
    slurm_jobs.wait(slurm_jobs.jobs[0].id)
    assert call_json("status", "demo")["run_id"] == run_id


def test_commands_name_the_folder_that_cannot_be_remembered(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # in the place of ~/.local/state
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    result = call("submit", spec(tmp_path))
    (run_id,) = run_ids(tmp_path)
    run_dir = tmp_path / "runs" / "demo" / run_id
    for verb in ("watch", "status", "logs -f", "cancel"):
        assert f"curator-slurm {verb} {run_dir}\n" in result.stdout
    slurm_jobs.wait(slurm_jobs.jobs[0].id)
    assert call_json("status", run_dir)["run_id"] == run_id


def test_submit_gives_sbatch_exactly_what_render_prints(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    path = spec(tmp_path)
    rendered = call("render", path).stdout
    call("submit", path)
    (run_id,) = run_ids(tmp_path)
    script = tmp_path / "runs" / "demo" / run_id / "job.sbatch"
    assert script.read_text() == rendered
    assert fake_slurm.calls_of("sbatch")[0][-3:] == [str(script), "0000", run_id]


def test_submit_json(fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_QOS", "high")
    result = call("submit", spec(tmp_path), "--json")
    document = json.loads(result.stdout)
    assert document["run_id"] in run_ids(tmp_path)
    assert document["cluster"] == "slurm"
    assert document["ignored_variables"] == ["SBATCH_QOS"]
    assert "SBATCH_QOS" in result.stderr


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_a_dry_run_writes_nothing(fake_slurm: FakeSlurm, tmp_path: Path, cluster: str) -> None:
    path = spec(tmp_path)
    result = call("submit", path, "--dry-run", "--cluster", cluster)
    assert result.stdout == call("render", path, "--cluster", cluster).stdout
    assert ("sbatch --parsable" in result.stderr) == (cluster == "slurm")
    assert not (tmp_path / "runs").exists()
    assert fake_slurm.calls_of("sbatch") == []
    assert call_json("submit", path, "--dry-run", "--cluster", cluster)["script"] == result.stdout
    call("submit", path, "--dry-run", "--watch", expect=2)


def test_a_refused_submission_leaves_nothing(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    result = call("submit", spec(tmp_path), "--set", "resources.partition=nope", expect=5)
    assert "resources.partition" in result.stderr
    assert run_ids(tmp_path) == []
    assert not (tmp_path / "runs" / "demo").exists()


def test_an_unreachable_controller(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    down = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n"
    fake_slurm.fail_next("sbatch", stderr=down, times=9)
    assert "does not respond" in call("submit", spec(tmp_path), expect=5).stderr
    assert run_ids(tmp_path) == []


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator_slurm.launcher.slurm.client.is_available", lambda: False)
    result = call("submit", spec(tmp_path), "--cluster", "slurm", expect=5)
    assert "--cluster local" in result.stderr
    result = call("submit", spec(tmp_path), "--watch")
    assert "there is no sbatch on PATH" in result.stdout
    assert "completed" in result.stdout


def test_secrets_reach_a_private_file_and_nothing_else(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = fake_python(tmp_path / "python")
    path = write_spec(tmp_path, python, environment={"python": str(python), "secrets": ["MY_TOKEN"]})
    assert "MY_TOKEN" in call("submit", path, expect=2).stderr
    monkeypatch.setenv("MY_TOKEN", "s3cret-value")
    call("submit", path)
    (run_id,) = run_ids(tmp_path)
    root = tmp_path / "runs" / "demo" / run_id
    holding = [file.name for file in root.rglob("*") if file.is_file() and "s3cret-value" in file.read_text()]
    assert holding == ["environment.json"]


def test_storage_that_cannot_be_written(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    (tmp_path / "file").write_text("")
    result = call("submit", spec(tmp_path), "--set", f"storage.runs={tmp_path / 'file' / 'x'}", expect=2)
    assert "storage.runs" in result.stderr


# run and watch


def test_run_shows_progress_and_a_summary(tmp_path: Path) -> None:
    result = call("run", spec(tmp_path, sleep=1.5), "--cluster", "local")
    lines = result.stdout.splitlines()
    assert re.match(r"Run \d{8}-\d{6}-\w{4}, job local-", lines[0])
    busy = r"reader 4/4 \(1 worker, 2\.5/s\) \| quality filter 9/12 \(2 workers, 3 waiting, 1\.5/s, 2s left, 1 failed\)"
    assert any(re.match(rf"\d\d:\d\d:\d\d running   {busy}", line) for line in lines)
    assert any("quality filter" in line and "54%" in line for line in lines)
    assert any(line.startswith("Outputs") and line.endswith("/outputs") for line in lines)
    assert all(len(line) <= 80 or "/" in line for line in lines)


def test_run_exits_as_the_run_does(tmp_path: Path) -> None:
    bad = {"failure_class": "app_failed", "message": "reader raised ValueError", "evidence": ["ValueError: x"]}
    result = call("run", spec(tmp_path, state="failed", outcome=bad), "--cluster", "local", expect=6)
    assert "app_failed" in result.stdout
    assert "| ValueError: x" in result.stdout
    document = call_json("run", spec(tmp_path, die=3), "--cluster", "local", expect=6)
    assert document["state"] == "failed"
    assert document["evidence"] == ["agent is here"]


def test_run_on_slurm(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    document = call_json("run", spec(tmp_path), "--set", "resources.nodes=3")
    assert (document["state"], document["cluster"]) == ("completed", "slurm")


def test_interrupting_run_cancels_it(tmp_path: Path) -> None:
    process = in_a_process(["run", spec(tmp_path, sleep=60), "--cluster", "local"])
    wait_for(lambda: list((tmp_path / "runs").glob("*/*/attempts/*/*/driver.log")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 8, out + err
    assert "Cancelling run" in err
    assert "cancelled" in out


def test_a_second_interrupt_leaves_at_once(tmp_path: Path, impatient: None) -> None:
    process = in_a_process(["run", spec(tmp_path, sleep=60, stubborn=True), "--cluster", "local"])
    wait_for(lambda: list((tmp_path / "runs").glob("*/*/attempts/*/*/driver.log")))
    process.send_signal(signal.SIGINT)
    (run_id,) = run_ids(tmp_path)
    record = tmp_path / "runs" / "demo" / run_id / "run.json"
    wait_for(lambda: json.loads(record.read_text())["cancelled"])
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 130
    assert call_json("status", run_id)["message"] == "The run is being cancelled."
    call("cancel", run_id)


def test_a_local_run_outlives_submit(tmp_path: Path) -> None:
    process = in_a_process(["submit", spec(tmp_path, sleep=1), "--json", "--cluster", "local"])
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 0
    document = call_json("watch", json.loads(out)["run_id"], "--interval", 0.2)
    assert document["state"] == "completed"


def test_interrupting_watch_leaves_the_run_alone(tmp_path: Path) -> None:
    submitted = call_json("submit", spec(tmp_path, sleep=60), "--cluster", "local")
    process = in_a_process(["watch", submitted["run_id"]])
    assert process.stdout is not None
    while "running" not in (line := process.stdout.readline()):  # it may run already when it is first looked at
        assert line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "goes on" in err
    assert call_json("status", submitted["run_id"])["state"] == "running"
    call("cancel", submitted["run_id"])


# status


def test_status_of_the_latest_run_needs_no_name(tmp_path: Path) -> None:
    assert "no runs yet" in call("status", expect=3).stderr
    run = submitted_run(tmp_path)
    outcome(new_attempt(run))
    assert run.run_id in call("status", "--runs-dir", tmp_path).stdout


def test_status_shows_everything_about_a_failure(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    progress(attempt)
    attempt.failures.write_text("{}\n")
    words = "stage 'quality filter' raised ValueError " + "with a very long explanation " * 6
    outcome(
        attempt,
        "failed",
        failure_class="app_failed",
        message=words,
        evidence=["Traceback", "ValueError: \u00fcml\u00e4ut " + "x" * 90],
        next_step="fix the stage",
    )
    result = call("status", run.run_id, "--runs-dir", tmp_path, expect=6)
    for text in ("app_failed", "| Traceback", "fix the stage", "n1 n2", "reader", "1 task, listed in", "4711 (Slurm)"):
        assert text in result.stdout
    wrapped = [line for line in result.stdout.splitlines() if "|" not in line and "/" not in line]
    assert max(map(len, wrapped)) <= 80


def test_a_success_that_kept_nothing_has_a_warning_in_every_view(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    progress(attempt, "completed")
    content = json.loads(attempt.progress.read_text())
    earlier = {"pipeline": "hashes", "state": "completed", "stages": [{"name": "hash_documents", "tasks_in": 7}]}
    attempt.progress.write_text(json.dumps({**content, "pipeline": "removal", "earlier": [earlier]}))
    words = "nothing was kept: stage 'quality filter' dropped all 604 items in 4 tasks"
    outcome(attempt, warnings=[words])
    shown = call("status", run.run_id, "--runs-dir", tmp_path).stdout
    assert " ".join(shown.split()).count(words) == 1
    assert shown.index("hashes") < shown.index("hash_documents") < shown.index("removal") < shown.index("reader")
    view = call_json("status", run.run_id, "--runs-dir", tmp_path)
    assert view["warnings"] == [words]
    assert [each["pipeline"] for each in view["earlier"]] == ["hashes"]
    assert " ".join(call("watch", run.run_id, "--runs-dir", tmp_path).stdout.split()).count(words) == 1


def test_shards_that_kept_nothing_are_named(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = sharded_run(tmp_path, 3)
    for shard in range(3):
        publish(run, shard)
    value = json.loads(run.paths.done(1).read_text())
    run.paths.done(1).write_text(json.dumps({**value, "nothing_kept": "nothing was read: stage 'read' has no input"}))
    view = call_json("status", run.run_id, "--runs-dir", tmp_path / "runs")
    assert view["state"] == "completed"
    (warning,) = view["warnings"]
    assert "1 of 3 shards (1) kept nothing; shard 1: nothing was read" in warning


def test_status_of_a_job_that_waits(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.pause()
    submitted = call_json("submit", spec(tmp_path))
    shown = call_json("status", submitted["run_id"])
    assert shown["state"] == "pending"
    assert shown["message"]
    assert "waiting for" in call("status").stdout


def test_status_when_slurm_is_away(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    down = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
    fake_slurm.fail_next("squeue", stderr=down, times=99)
    run = submitted_run(tmp_path)
    shown = call_json("status", run.run_id, "--runs-dir", tmp_path, expect=5)
    assert shown["state"] == "unknown"
    assert "does not respond" in shown["warnings"][0]
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    assert call_json("status", run.run_id, "--runs-dir", tmp_path)["state"] == "running"
    outcome(attempt)
    assert call_json("status", run.run_id, "--runs-dir", tmp_path)["state"] == "completed"


def test_files_first_while_slurm_does_not_answer(
    tmp_path: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curator_slurm.launcher.status.ask_slurm.ASK_S", 1.0)
    monkeypatch.setattr("curator_slurm.launcher.status.early.with_patience.__defaults__", (0.01,))
    (fake_slurm.bin / "squeue").write_text("#!/bin/sh\nsleep 600\n")
    run = submitted_run(tmp_path)
    event(new_attempt(run), "driver_started")
    first, _, second = call("status", run.run_id, "--runs-dir", tmp_path).stdout.partition("Waiting for Slurm")
    assert "Slurm has not answered yet" in first
    assert "running" in first
    assert "no response within" in second
    first, _, second = call("list", "--runs-dir", tmp_path).stdout.partition("Slurm has not answered yet")
    assert "running" in first
    assert "running" in second


def test_status_of_a_node_that_failed_before_the_agent(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path, "99")
    attempt = new_attempt(run, "99")
    os.utime(attempt.cluster.heartbeat, (1, 1))
    node_status(attempt, "n2", "failed", failure_class="environment", message="no python", next_step="install it")
    shown = call_json("status", "99", "--runs-dir", tmp_path, expect=6)
    assert (shown["failure_class"], shown["message"]) == ("environment", "Node n2: no python")


def test_unknown_runs(tmp_path: Path) -> None:
    for verb in ("status", "watch", "logs", "cancel"):
        assert "there is no run" in call(verb, "nope", expect=3).stderr


# list


def test_list(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    assert "No runs yet" in call("list").stderr
    assert f"No runs in {tmp_path}, as far as you may read it." in call("list", "--runs-dir", str(tmp_path)).stderr
    done = submitted_run(tmp_path, "1", name="alpha")
    outcome(new_attempt(done, "1"))
    failed = submitted_run(tmp_path, "2", name="beta")
    outcome(new_attempt(failed, "2"), "failed")
    damaged = submitted_run(tmp_path, "3", name="gamma")
    damaged.paths.record.write_text("{")
    rows = call_json("list", "--runs-dir", tmp_path)
    assert "damaged" in call("status", damaged.run_id, "--runs-dir", tmp_path, expect=2).stdout
    assert {row["name"]: row["state"] for row in rows} == {"alpha": "completed", "beta": "failed", "gamma": "unknown"}
    text = call("list", "--runs-dir", tmp_path).stdout
    assert all(len(line) <= 80 for line in text.splitlines())
    (row,) = call_json("list", "--runs-dir", tmp_path, "--state", "failed")
    assert row["run_id"] == failed.run_id
    (row,) = call_json("list", "--runs-dir", tmp_path, "--name", "alpha")
    assert row["run_id"] == done.run_id
    limited = call("list", "--runs-dir", tmp_path, "--limit", 1)
    assert "1 of 3 runs" in limited.stderr


def test_listing_many_runs_asks_slurm_a_constant_number_of_times(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    for number in range(12):
        submitted_run(tmp_path, str(1000 + number))
    assert len(call_json("list", "--runs-dir", tmp_path)) == 12
    assert len(fake_slurm.calls) <= 4


# logs


def test_logs(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    where = ("--runs-dir", tmp_path)
    assert "no log yet" in call("logs", run.run_id, *where).stderr
    run.paths.slurm_log("4711").write_text("from slurm\n")
    result = call("logs", run.run_id, *where)
    assert result.stdout == "from slurm\n"
    assert "no driver log" in result.stderr
    assert call("logs", run.run_id, "--driver", *where).stdout == ""
    attempt = new_attempt(run)
    attempt.driver_log.write_text("one\ntwo\nthree\n")
    node_status(attempt, "n1", "joined")
    attempt.cluster.node("n1").agent_log.write_text("from the agent\n")
    assert call("logs", run.run_id, *where).stdout == "one\ntwo\nthree\n"
    assert call("logs", run.run_id, "--tail", 2, *where).stdout == "two\nthree\n"
    assert call("logs", run.run_id, "--slurm", *where).stdout == "from slurm\n"
    assert call("logs", run.run_id, "--agent", "n1", *where).stdout == "from the agent\n"
    assert "there are: n1" in call("logs", run.run_id, "--agent", "n9", *where, expect=2).stderr
    everything = call("logs", run.run_id, "--all", *where).stdout
    assert everything.index("three") < everything.index("from slurm") < everything.index("from the agent")
    kinds = [entry["kind"] for entry in call_json("logs", run.run_id, "--list", *where)]
    assert kinds == ["driver", "slurm", "agent"]
    assert call("logs", run.run_id, "--list", *where).stdout.count("\n") == 3
    call("logs", run.run_id, "--all", "--slurm", *where, expect=2)


def test_following_logs_ends_with_the_run(tmp_path: Path) -> None:
    submitted = call_json("submit", spec(tmp_path, sleep=1), "--cluster", "local")
    result = call("logs", "-f", submitted["run_id"])
    assert result.stdout.endswith("driver line 1\ndriver line 2\n")


# cancel


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_cancel_is_idempotent(tmp_path: Path, slurm_jobs: FakeSlurm, cluster: str) -> None:
    submitted = call_json("submit", spec(tmp_path, sleep=60), "--cluster", cluster)
    wait_for(lambda: call_json("status", submitted["run_id"])["state"] == "running")
    (result,) = call_json("cancel", submitted["run_id"])
    assert (result["state"], result["done"]) == ("cancelled", True)
    assert "was cancelled" in result["message"]
    assert call_json("status", submitted["run_id"], expect=8)["state"] == "cancelled"
    assert "has ended already" in call("cancel", submitted["run_id"]).stdout


def test_cancel_a_job_that_waits(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.pause()
    submitted = call_json("submit", spec(tmp_path))
    call("cancel", submitted["run_id"])
    assert call_json("status", submitted["run_id"], expect=8)["failure_class"] == "cancelled"


def test_a_local_run_that_will_not_end_is_killed(tmp_path: Path, impatient: None) -> None:
    submitted = call_json("submit", spec(tmp_path, sleep=60, stubborn=True), "--cluster", "local")
    wait_for(lambda: call_json("status", submitted["run_id"])["state"] == "running")
    assert "was killed" in call("cancel", submitted["run_id"]).stdout
    assert call_json("status", submitted["run_id"], expect=8)["state"] == "cancelled"


def test_cancel_when_slurm_refuses(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.pause()
    submitted = call_json("submit", spec(tmp_path))
    denied = "scancel: error: Kill job error on job id 1: Access/permission denied\n"
    fake_slurm.fail_next("scancel", stderr=denied)
    assert "denied" in call("cancel", submitted["run_id"], expect=5).stderr
    assert call_json("status", submitted["run_id"])["cancelled"] is None


# Any terminal


def test_output_survives_a_terminal_without_unicode(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), "failed", message="\u00fcml\u00e4ut \u2603")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", "from curator_slurm.launcher.cli import main; main()", "status", str(run.paths.root)],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert b"?ml?ut ?" in done.stdout


def test_looking_at_runs_loads_nothing_slow() -> None:
    check = (
        "import sys\nfrom curator_slurm.launcher.cli import status, list, logs\n"
        "print([m for m in ('pydantic', 'submitit', 'rich', 'yaml', 'ray', 'jinja2', 'psutil') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", ["submit", "run", "status", "watch", "logs", "list", "cancel"])
def test_every_verb_has_help(verb: str) -> None:
    text = call(verb, "-h").stdout
    assert max(map(len, text.splitlines())) <= 80
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("verb", ["status", "logs", "watch", "cancel", "retry", "collect"])
def test_a_run_directory_of_an_older_format_is_named_as_such(tmp_path: Path, fake_slurm: FakeSlurm, verb: str) -> None:
    run = submitted_run(tmp_path)
    data = json.loads(run.paths.record.read_text())
    run.paths.record.write_text(json.dumps({**data, "schema": 1}))
    result = CliRunner().invoke(main, [verb, run.run_id, "--runs-dir", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code in (CuratorSlurmError.exit_code, StorageError.exit_code)
    words = " ".join((result.stdout + result.stderr).split())
    assert "in the older format 1" in words
    assert "submit its spec again" in words
    assert run.run_id in call("list", "--runs-dir", tmp_path).stdout
