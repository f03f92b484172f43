"""An attempt that another one has followed notices it, ends at once and publishes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curator_slurm.launcher.agent import heartbeat as beats
from curator_slurm.launcher.agent.drivers import Drivers, EndedEarlyError
from curator_slurm.launcher.agent.fence import Fence
from curator_slurm.launcher.agent.heartbeat import Beating, Heartbeat, HeartbeatReader
from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_records import EventLog
from curator_slurm.launcher.runs.epoch import Epoch, raise_epoch, read_epoch
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.waiting import Patience


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


def attempt(run: RunPaths, name: str, shard: int = 0) -> AttemptPaths:
    return ClusterPaths(run.elements / name, run).attempt(shard)


def test_the_last_one_to_begin_is_the_newest(run: RunPaths) -> None:
    old, new, elsewhere = Fence(), Fence(), Fence()
    assert (old.look(), old.number) == (None, 0)
    old.begin(attempt(run, "4711.0"))
    elsewhere.begin(attempt(run, "4711.0", 1))
    assert (old.look(), old.number) == (None, 1)
    new.begin(attempt(run, "4711.1"))
    assert (new.look(), new.number) == (None, 2)
    assert (old.look(), old.newer, old.gave_way_to) == (Epoch(2, "4711.1"),) * 3
    assert elsewhere.look() is None
    assert old.has_twin("4711")
    assert not old.has_twin("4712")
    old.end()
    assert (old.newer, old.look(), old.number, old.gave_way_to) == (None, None, 0, Epoch(2, "4711.1"))
    [epoch] = (run.attempts / "00000").iterdir()  # no attempt has a folder yet
    assert json.loads(epoch.read_text()) == {"schema": 1, "number": 2, "attempt": "4711.1"}


def test_what_cannot_be_read_proves_nothing(run: RunPaths) -> None:
    fence, own = Fence(), attempt(run, "4711.0")
    fence.begin(own)
    for content in ("", "{", "[]", '{"attempt": "4711.1"}', '{"number": "2", "attempt": "4711.1"}'):
        own.epoch.write_text(content)
        assert fence.look() is None
    own.epoch.unlink()
    assert fence.look() is None
    assert read_epoch(own) is None
    assert raise_epoch(own).number == 1


def test_a_head_looks_at_every_beat_and_tells_its_epoch(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.01)
    fence, heartbeat = Fence(), Heartbeat(run.root / "heartbeat")
    fence.begin(attempt(run, "4711.0"))
    beating = Beating(heartbeat, fence)
    beating.start()
    wait_for(lambda: HeartbeatReader(heartbeat.path).read().epoch == 1)
    assert fence.newer is None
    raise_epoch(attempt(run, "4711.1"))
    wait_for(lambda: fence.newer is not None)
    assert beating.end(30)


def wait_for(condition: Any) -> None:
    patience = Patience(60.0, 1.0)
    while not condition():
        assert not patience.is_over()


class Driver:
    """A driver that runs until it is stopped."""

    pid = 0

    def __init__(self, its_attempt: AttemptPaths, begins: Any) -> None:
        self.attempt, self._begins = its_attempt, begins
        self.graces: list[float] = []

    def go(self, address: str) -> None:
        self._begins()

    def exit_code(self) -> int | None:
        return -9 if self.graces else None

    def stop(self, grace_s: float) -> None:
        self.graces.append(grace_s)


@pytest.mark.parametrize(("newer", "only_driver"), [("4711_3.1", False), ("4720_3.0", True)])
def test_the_driver_of_an_attempt_that_is_superseded_ends_at_once(
    run: RunPaths, newer: str, only_driver: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it the whole element, where the same element was started again; else it goes on with its other shards."""
    own, fence = attempt(run, "4711_3.0"), Fence()
    own.cluster.root.mkdir(parents=True)
    fence.begin(own)
    events = EventLog(own.cluster.events, lambda _: None)
    outcomes: Any = Outcomes.__new__(Outcomes)
    stop = SimpleNamespace(requested=False, count=0, signum=None, wait=lambda seconds: False)
    outcomes.context = SimpleNamespace(
        fence=fence, cluster=own.cluster, stop=stop, allocation=SimpleNamespace(nodes=["n1"], node_name="n1")
    )
    outcomes.events, outcomes.started = events, 0.0
    drivers: Any = Drivers.__new__(Drivers)
    drivers.context, drivers.events, drivers.outcomes = outcomes.context, events, outcomes
    drivers.node = SimpleNamespace(ray=None, waiting=None)
    quiet = SimpleNamespace(order=None, announced=None, stops=False, is_late=False)
    quiet.look, quiet.pause = lambda: None, lambda seconds: None
    drivers.draining = quiet

    def begins() -> None:
        raise_epoch(attempt(run, newer))
        fence.look()  # as with every beat

    driver = Driver(own, begins)
    with pytest.raises(EndedEarlyError) as end:
        drivers.see_through(driver, "a:1")
    assert (end.value.only_driver, driver.graces) == (only_driver, [0.0])
    assert (end.value.outcome.failure_class, newer in end.value.outcome.message) == (FailureClass.SUPERSEDED, True)
    assert any(json.loads(line)["event"] == "superseded" for line in own.cluster.events.read_text().splitlines())


def test_the_secrets_of_the_run_stay_for_the_one_that_goes_on(run: RunPaths) -> None:
    old, new = attempt(run, "4711.0"), attempt(run, "4711.1")
    run.secrets.mkdir()
    for each in (old, new):
        raise_epoch(each)
        each.cluster.token.write_text("x")
    remove_secrets_of(old.cluster, array=False)
    assert [path.name for path in run.secrets.iterdir()] == [new.cluster.token.name]
    remove_secrets_of(new.cluster, array=False)
    assert not run.secrets.exists()
