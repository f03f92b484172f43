"""Whole runs that tell people of their end, with real agents, on this machine and a fake Slurm."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from hook_server import Hook
from run_dirs import keep_element, own_home, write_spec
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs.registry import run_directories

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with Hook() as server:
        monkeypatch.setenv("MY_HOOK", server.address)
        yield server


def spec(folder: Path, command: str = "true", **more: Any) -> Path:
    notify = {"webhook": "${env:MY_HOOK}", "command": f"cat >>{folder}/told; echo >>{folder}/told"}
    return write_spec(
        folder,
        Path(sys.executable),
        pipeline={"command": command},
        cluster={"ray": False, "join_timeout_s": 60},
        notify={**notify, **more.pop("notify", {})},
        **more,
    )


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def told(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines() if line] if file.exists() else []


@pytest.mark.long
def test_a_run_on_this_machine_tells_of_its_end_once(tmp_path: Path, hook: Hook) -> None:
    result = call("run", spec(tmp_path), "--cluster", "local")
    assert result.exit_code == 0, result.output
    (root,) = run_directories([tmp_path / "runs"])
    wait_for("both", lambda: told(tmp_path) and hook.got, 60)
    assert call("watch", root.name).exit_code == 0
    assert call("status", root.name, "--notify").exit_code == 0
    (notice,) = told(tmp_path)
    (got,) = hook.got
    assert json.loads(got.body) == {**notice, "time": json.loads(got.body)["time"]}
    assert (notice["event"], notice["state"], notice["run_id"]) == ("ended", "completed", root.name)
    holding = [file for file in root.rglob("*") if file.is_file() and hook.address in file.read_text(errors="replace")]
    assert holding == [], "the address is in files of the run"
    assert hook.address not in result.output


@pytest.mark.long
def test_a_job_tells_of_its_failure_and_ends_as_it_would(
    tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody watches; the command is run by the batch script, whose own failure is one line of the log."""
    keep_element(fake_slurm)
    broken = {
        "command": f"cat >>{tmp_path}/told; test -z $SLURM_JOB_ID || exit 3; sleep 3; echo no mail here >&2; exit 4"
    }
    result = call("submit", spec(tmp_path, "exit 3", notify=broken), "--json")
    assert result.exit_code == 0, result.output
    job = json.loads(result.stdout)["job_ids"][0]
    fake_slurm.wait(int(job), "FAILED")
    (notice,) = told(tmp_path)
    assert (notice["event"], notice["state"], notice["failure_class"]) == ("needs_help", "failed", "app_failed")
    assert [json.loads(got.body)["event"] for got in hook.got] == ["needs_help"]
    (root,) = run_directories([tmp_path / "runs"])
    log = (root / f"slurm-{job}.log").read_text()
    assert log.count("no mail here") == log.count("notify.command: exit code 4") == 1
    assert hook.address not in log
    assert call("status", root.name, "--notify").exit_code == 6
    assert len(hook.got) == len(told(tmp_path)) == 1


@pytest.mark.long
def test_an_array_tells_once_for_all_its_elements(tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook) -> None:
    keep_element(fake_slurm)
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "in" / f"{name}.txt").write_text(name)
    bad = "case ${shard.index} in 1) exit 3;; esac"
    more = {"input": {"paths": [str(tmp_path / "in")]}, "shards": {"files_per_shard": 1}}
    result = call("submit", spec(tmp_path, bad, **more), "--json")
    assert result.exit_code == 0, result.output
    wait_for("the end of all elements", lambda: len(list(tmp_path.glob("runs/*/*/elements/*/outcome.json"))) == 3, 120)
    wait_for("both", lambda: told(tmp_path) and hook.got, 60)
    (notice,) = told(tmp_path)
    assert (notice["event"], notice["state"]) == ("needs_help", "incomplete")
    assert (notice["shards_done"], notice["shards_total"]) == (2, 3)
    assert len(hook.got) == 1


def test_who_looks_tells_that_a_run_waits(tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook) -> None:
    fake_slurm.pause()
    section = {"waiting_hours": 1e-9, "body": {"text": "${name}: ${event}"}}
    assert call("submit", spec(tmp_path, notify=section)).exit_code == 0
    (root,) = run_directories([tmp_path / "runs"])
    assert call("status", root.name).exit_code == 0
    assert hook.got == []
    for _ in range(2):
        assert call("status", root.name, "--notify").exit_code == 0
    assert [json.loads(got.body) for got in hook.got] == [{"text": "demo: waiting"}]
    (notice,) = told(tmp_path)
    assert notice["event"] == "waiting"
    call("cancel", root.name)
    wait_for("its end", lambda: json.loads(call("status", root.name, "--json").stdout)["state"] == "cancelled", 60)
    assert call("status", root.name, "--notify").exit_code == 8
    assert [each["state"] for each in told(tmp_path)] == ["pending", "cancelled"], "nobody told of the cancelled job"


def test_the_option_of_submit(tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook) -> None:
    fake_slurm.pause()
    path = write_spec(tmp_path, Path(sys.executable))
    (tmp_path / "hook").write_text(hook.address)
    for how in ("echo 'it is: \"over\"' # ${x}", "${env:MY_HOOK}", f"file:{tmp_path}/hook"):
        assert call("submit", path, "--notify", how).exit_code == 0
    plans = [root / "plan.yaml" for root in sorted(run_directories([tmp_path / "runs"]))]
    import yaml

    sections = [yaml.safe_load(plan.read_text())["spec"]["notify"] for plan in plans]
    assert {(each["command"], each["webhook"]) for each in sections} == {
        ("echo 'it is: \"over\"' # ${x}", None),
        (None, "${env:MY_HOOK}"),
        (None, f"{tmp_path}/hook"),
    }
    assert call("submit", path, "--notify", "${env:NOT_SET}").exit_code == 2


@pytest.mark.long
def test_a_run_that_goes_on_tells_of_its_last_end_alone(tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook) -> None:
    keep_element(fake_slurm)
    flag = tmp_path / "flag"
    kill = f"if mkdir {flag} 2>/dev/null; then kill -9 $(ps -o ppid= -p $PPID); sleep 60; fi"
    restart = {"mechanism": "resubmit", "backoff_s": 0}
    result = call("submit", spec(tmp_path, kill, restart=restart), "--json")
    assert result.exit_code == 0, result.output
    wait_for("both", lambda: told(tmp_path) and hook.got, 120)
    (notice,) = told(tmp_path)
    assert (notice["event"], notice["state"]) == ("ended", "completed")
    assert [job.id for job in fake_slurm.jobs][-1] == int(notice["job_id"])
    assert len(fake_slurm.jobs) == 2
    assert len(hook.got) == 1


@pytest.mark.long
def test_a_job_that_nobody_watched_tells_that_it_has_waited(tmp_path: Path, fake_slurm: FakeSlurm, hook: Hook) -> None:
    keep_element(fake_slurm)
    result = call("submit", spec(tmp_path, "sleep 3", notify={"waiting_hours": 1e-9}), "--json")
    assert result.exit_code == 0, result.output
    fake_slurm.wait(int(json.loads(result.stdout)["job_ids"][0]), "COMPLETED")
    assert [notice["event"] for notice in told(tmp_path)] == ["waiting", "ended"]
    assert [json.loads(got.body)["event"] for got in hook.got] == ["waiting", "ended"]
