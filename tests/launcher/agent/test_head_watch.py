"""When a worker takes its head for lost: silence that it has seen, and other signs, on a clock that a test moves."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curator_slurm.launcher.agent.cluster_scale import reading_pause_s
from curator_slurm.launcher.agent.head_watch import HeadWatch
from curator_slurm.launcher.agent.heartbeat import Beating, Heartbeat, HeartbeatReader
from curator_slurm.launcher.waiting import Patience

LIMIT_S = 100.0
STALL_S = 300.0


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Worker:
    """A worker with a heartbeat to follow; `answers` is what Ray's control service does."""

    def __init__(self, folder: Path, clock: Clock, *, ray: bool = True) -> None:
        self.clock = clock
        self.status = folder / "status.json"
        self.status.touch()
        self.heartbeat = Heartbeat(folder / "heartbeat")
        self.heartbeat.send(cluster={"address": "10.0.0.1:20000"})
        self.reader = HeartbeatReader(self.heartbeat.path)
        self.answers = True
        self.asked = 0
        context: Any = SimpleNamespace(
            plan=SimpleNamespace(spec=SimpleNamespace(cluster=SimpleNamespace(heartbeat_timeout_s=LIMIT_S, ray=ray))),
            allocation=SimpleNamespace(nodes=("n1", "n2", "n3")),
            node=SimpleNamespace(status=self.status),
            stop=SimpleNamespace(wait=self._pass),
        )
        self.watch = HeadWatch(context, self.reader, self._answer)
        self.watch.joined = ray
        self.look(0.0)

    def _pass(self, seconds: float) -> bool:
        self.clock.now += seconds
        return False

    def _answer(self, _context: object, address: str) -> bool:
        assert address == "10.0.0.1:20000"
        self.asked += 1
        return self.answers

    def look(self, pause_s: float = 0.5, *, orphaned: bool = False) -> bool:
        self.clock.now += pause_s
        self.reader.read()
        return self.watch.is_lost(orphaned=orphaned)

    def seconds_until_lost(self, most_s: float, *, orphaned: bool = False) -> float | None:
        began = self.clock.now
        while self.clock.now - began < most_s:
            if self.look(orphaned=orphaned):
                return self.clock.now - began
        return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock.monotonic)
    return clock


@pytest.fixture(params=[True, False], ids=["with Ray", "without Ray"])
def worker(tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Worker:
    return Worker(tmp_path, clock, ray=request.param)


def test_a_head_that_beats_is_not_asked(worker: Worker) -> None:
    for _ in range(100):
        worker.heartbeat.send()
        assert not worker.look(2.0)
    assert worker.asked == 0


def test_a_reading_that_stalls_is_no_silence(worker: Worker) -> None:
    worker.answers = False
    for _ in range(5):
        assert not worker.look(STALL_S)
    assert worker.reader.silent_s < 30
    assert worker.asked == 0


def test_a_job_that_was_suspended_goes_on(worker: Worker) -> None:
    """Everything stood still, the head too; its next beat comes with the first readings afterwards."""
    worker.answers = False
    worker.look(STALL_S)
    assert worker.seconds_until_lost(4) is None
    worker.heartbeat.send()
    worker.look()
    assert worker.reader.silent_s == 0


def test_readings_that_fail_are_no_silence(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.answers = False

    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("curator_slurm.launcher.agent.heartbeat._content", fail)
        assert worker.seconds_until_lost(STALL_S) is None
    assert worker.seconds_until_lost(25) is None


def test_a_node_without_ray_and_storage_gives_up_in_the_end(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("curator_slurm.launcher.agent.heartbeat._content", fail)
    worker = Worker(tmp_path, clock)
    assert worker.seconds_until_lost(STALL_S, orphaned=True) is None  # never heard of a head
    worker.reader.signal = worker.heartbeat.signal
    assert worker.seconds_until_lost(STALL_S, orphaned=True) is None
    worker.answers = False
    seconds = worker.seconds_until_lost(STALL_S, orphaned=True)
    assert seconds is not None
    assert LIMIT_S - 5 < seconds < LIMIT_S + 20


def test_a_run_directory_that_was_removed_is_silence(worker: Worker) -> None:
    worker.answers = False
    worker.heartbeat.path.unlink()
    assert worker.seconds_until_lost(STALL_S) is not None


def test_ray_that_answers_is_a_head_that_lives(tmp_path: Path, clock: Clock) -> None:
    """Reads go on and show no change: the head cannot write."""
    worker = Worker(tmp_path, clock)
    assert worker.seconds_until_lost(10 * STALL_S) is None
    assert 0 < worker.asked < 2 * STALL_S * 10 / 3
    worker.answers = False
    seconds = worker.seconds_until_lost(STALL_S)
    assert seconds is not None
    assert 9 < seconds < 20


@pytest.mark.parametrize("orphaned", [True, False])
def test_a_head_that_is_gone(tmp_path: Path, clock: Clock, *, orphaned: bool) -> None:
    worker = Worker(tmp_path, clock)
    worker.answers = False
    seconds = worker.seconds_until_lost(STALL_S, orphaned=orphaned)
    assert seconds is not None
    assert (15 < seconds < 40) if orphaned else (35 < seconds < 60)
    assert worker.asked >= 3
    assert "no heartbeat for" in worker.watch.reason
    assert "no answer from Ray at 10.0.0.1:20000" in worker.watch.reason


def test_one_question_after_a_suspension_proves_nothing(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, clock)
    worker.seconds_until_lost(29)
    worker.answers = False
    assert not worker.look(STALL_S)
    assert not worker.look(STALL_S)
    worker.answers = True
    assert worker.seconds_until_lost(STALL_S) is None


def test_without_ray_silence_alone_counts(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, clock, ray=False)
    seconds = worker.seconds_until_lost(STALL_S)
    assert seconds is not None
    assert LIMIT_S < seconds < LIMIT_S + 5
    assert "Ray" not in worker.watch.reason


def test_without_ray_storage_that_takes_no_writes_is_no_silence(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path, clock, ray=False)

    def stall(path: Path) -> None:
        assert path == worker.status
        clock.now += STALL_S

    monkeypatch.setattr("os.utime", stall)
    assert worker.seconds_until_lost(3 * STALL_S) is None

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.utime", refuse)
    assert worker.seconds_until_lost(3 * STALL_S) is None


def test_a_cluster_that_this_node_has_not_joined_may_be_starting(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, clock)
    worker.watch.joined = worker.answers = False
    seconds = worker.seconds_until_lost(STALL_S)
    assert seconds is not None
    assert seconds > LIMIT_S


def test_patience_counts_no_more_than_a_step(clock: Clock) -> None:
    patience = Patience(10.0, 2.0)
    for seconds, spent in ((1.5, 1.5), (STALL_S, 3.5), (0.5, 4.0)):
        clock.now += seconds
        assert patience.tick() == spent
    clock.now += 1.0
    patience.skip()
    assert not patience.is_over()
    assert patience.spent_s == 4.0
    for _ in range(3):
        clock.now += 2.0
        patience.tick()
    clock.now += 0.1
    assert patience.is_over()


@pytest.mark.parametrize("nodes", [2, 10, 100, 1_000, 10_000])
def test_all_workers_together_read_no_more_than_the_budget_allows(nodes: int) -> None:
    assert (nodes - 1) / reading_pause_s(nodes) <= 200


def test_a_large_cluster_fits_into_the_heartbeat(tmp_path: Path) -> None:
    names = [f"a-long-name-of-a-node-{number:06d}.cluster.example" for number in range(5000)]
    heartbeat = Heartbeat(tmp_path / "heartbeat")
    heartbeat.send(cluster={"nodes": names})
    assert HeartbeatReader(heartbeat.path).read().cluster == {"nodes": names}


def test_storage_that_stalls_does_not_keep_the_end_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    heartbeat, go_on = Heartbeat(tmp_path / "heartbeat"), threading.Event()
    send = heartbeat.send

    def stall(**what: Any) -> None:
        go_on.wait(30)
        send(**what)

    monkeypatch.setattr(heartbeat, "send", stall)
    beating = Beating(heartbeat)
    beating.start()
    beating.tell({"address": "a:1"})
    assert not beating.end(0.05)
    go_on.set()
    assert beating.end(30)
    signal = HeartbeatReader(heartbeat.path).read()
    assert (signal.ended, signal.cluster) == (True, {"address": "a:1"})


def test_a_head_that_waited_for_the_same_storage_shows_life_after_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not worker.watch.shows_life_after_a_write()
    monkeypatch.setattr("os.utime", lambda _: worker.heartbeat.send())
    assert worker.watch.shows_life_after_a_write()


def test_storage_that_refuses_the_end_is_not_tried_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = Heartbeat(tmp_path / "heartbeat")
    monkeypatch.setattr("curator_slurm.launcher.agent.heartbeat.BEAT_S", 0.01)
    tries: list[bool] = []

    def refuse(*, ended: bool, **_: Any) -> None:
        tries.append(ended)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(heartbeat, "send", refuse)
    beating = Beating(heartbeat)
    beating.start()
    assert beating.end(30)
    assert tries.count(True) == 5
