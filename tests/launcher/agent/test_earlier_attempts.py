"""What an attempt learns of earlier ones, and how long it waits for one that still lives."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from run_dirs import new_run
from sharded_runs import plan, planned

from curator_slurm.launcher.agent import earlier_attempts
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.earlier_attempts import EarlierAttempts
from curator_slurm.launcher.agent.heartbeat import Heartbeat
from curator_slurm.launcher.agent.identity import identity_of
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.attempt_records import EventLog
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.takeover import take_over
from curator_slurm.launcher.runs.user_code import PIPELINE_FILE

STAGES: list[dict[str, Any]] = [{"use": "a:B", "with": {"x": 1}, "batch_size": 2, "resources": {"cpus": 1}}]


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return new_run(tmp_path / "runs").paths


def earlier(run: RunPaths, name: str, *, local: bool = True, **pipeline: Any) -> tuple[EarlierAttempts, AttemptPaths]:
    cluster = ClusterPaths(run.elements / name, run)
    cluster.nodes.mkdir(parents=True, exist_ok=True)
    Heartbeat(cluster.heartbeat).send()
    allocation = Allocation("1", 0, 0, ("n1",), 1, 1 << 30, 0, local=local)
    the_plan = plan(run.root, pipeline=pipeline or {"entry": "a:b"})
    context = AgentContext(the_plan, allocation, cluster, StopRequest(), {}, run.plan)
    attempts = EarlierAttempts(context, EventLog(cluster.events, lambda _: None))
    return attempts, cluster.attempt(0)


def test_a_command_has_a_folder_that_stays_and_knows_how_often_it_was_tried(run: RunPaths) -> None:
    for count in range(3):
        attempts, attempt = earlier(run, f"{count + 1}.0", command="true")
        attempts.take_over(attempt, planned(0))
        found = attempts.environment(attempt)
        folder = Path(found["CURATOR_SLURM_STATE_DIR"])
        assert found["CURATOR_SLURM_RESTART_COUNT"] == str(count)
        assert len(list(folder.iterdir())) == count
        (folder / f"{count}").touch()
        assert attempt.outputs.is_dir()
    attempts, attempt = earlier(run, "9.0")
    assert attempts.environment(attempt) == {"CURATOR_SLURM_RESTART_COUNT": "3"}


def lives(run: RunPaths, name: str) -> Heartbeat:
    """An attempt whose head lives."""
    _, attempt = earlier(run, name)
    take_over(attempt, "")
    return Heartbeat(attempt.cluster.heartbeat)


def waits(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, name: str = "2.0"
) -> tuple[threading.Thread, EarlierAttempts, AttemptPaths]:
    monkeypatch.setattr(earlier_attempts, "_LOOK_S", 0.02)
    attempts, attempt = earlier(run, name, local=False)
    thread = threading.Thread(target=attempts.take_over, args=(attempt, planned(0)), daemon=True)
    thread.start()
    events = attempt.cluster.events
    while not events.exists() or "waits for 1.0, whose head still lives" not in events.read_text():
        assert thread.is_alive()
        time.sleep(0.01)
    return thread, attempts, attempt


@pytest.mark.parametrize("how", ["its heartbeat says so", "it has an outcome", "its element has", "we are stopped"])
def test_it_waits_until_an_earlier_one_has_ended(run: RunPaths, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    heartbeat = lives(run, "1.0")
    thread, attempts, attempt = waits(run, monkeypatch)
    old = ClusterPaths(run.elements / "1.0", run)
    for _ in range(5):
        heartbeat.send()
        assert thread.is_alive()
    if how == "its heartbeat says so":
        heartbeat.send(ended=True)
    elif how == "we are stopped":
        attempts._context.stop._on_signal(15, None)
    else:
        write_json((old if how == "its element has" else old.attempt(0)).outcome, {})
    thread.join(30)
    assert not thread.is_alive()
    assert attempt.outputs.is_dir()


@pytest.mark.parametrize("why", ["it is silent", "Slurm has restarted its job", "a signal has come"])
def test_a_head_that_is_silent_is_waited_for_no_longer_than_that(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    lives(run, "1.0")
    if why == "a signal has come":
        write_json(ClusterPaths(run.elements / "1.0", run).ending, {})
    monkeypatch.setattr(earlier_attempts, "SILENT_S" if why == "it is silent" else "SOON_SILENT_S", 0.5)
    thread, _, _ = waits(run, monkeypatch, "1.1" if why == "Slurm has restarted its job" else "2.0")
    thread.join(30)
    assert not thread.is_alive()


def test_one_that_goes_on_for_ever_is_not(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = lives(run, "1.0")
    monkeypatch.setattr(earlier_attempts, "MOST_S", 0.3)
    thread, _, _ = waits(run, monkeypatch)
    while thread.is_alive():
        heartbeat.send()


def test_a_head_that_was_silent_before_we_came_is_not_waited_for(run: RunPaths) -> None:
    lives(run, "1.0")
    old = ClusterPaths(run.elements / "1.0", run).heartbeat
    long_ago = time.time() - earlier_attempts.SILENT_S - 1
    os.utime(old, (long_ago, long_ago))
    attempts, attempt = earlier(run, "2.0", local=False)
    attempts.take_over(attempt, planned(0))
    assert not attempt.cluster.events.exists()


def test_what_makes_a_resume_valid(tmp_path: Path) -> None:
    def digest(stages: list[dict[str, Any]], shard: Shard | None = None, code: Path | None = None, **more: Any) -> str:
        return identity_of(plan(tmp_path, pipeline={"stages": stages}, **more), code, shard or planned(0))

    first = digest(STAGES)
    other_ways: dict[str, Any] = {
        "batch_size": 7,
        "num_workers": 3,
        "resources": {"cpus": 2},
        "ray_stage_spec": {"is_actor_stage": True},
    }
    assert digest([{**STAGES[0], **other_ways}]) == first
    assert digest(STAGES, executor={"backend": "ray_data"}) == first
    assert digest(STAGES, resources={"nodes": 3}) == first
    code = tmp_path / "code"
    code.mkdir()
    write_json(tmp_path / "code.json", {"source": "/x", "files": {"a.py": "1"}})
    with_code = digest(STAGES, code=code)
    (code / PIPELINE_FILE).write_text("stages: []")
    others = [
        digest([{**STAGES[0], "with": {"x": 2}}]),
        digest([*STAGES, *STAGES]),
        digest([{**STAGES[0], "name": "another"}]),
        digest(STAGES, planned(1)),
        with_code,
        digest(STAGES, code=code),
    ]
    assert len({first, *others}) == len(others) + 1
    assert identity_of(plan(tmp_path), None, planned(0)) == ""
    own = plan(tmp_path, pipeline={"entry": "a:b", "checkpoint_path": "/c"})
    assert identity_of(own, None, planned(0)) == ""
