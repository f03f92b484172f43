"""`limits.poll_s`: many commands that show a run cost Slurm what one costs; those that act always ask."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from run_dirs import own_home
from sharded_runs import plan, submit_shards

from curator_slurm.launcher.api.handle import Job
from curator_slurm.launcher.api.watcher import RunWatcher
from curator_slurm.launcher.errors import RunIncompleteError
from curator_slurm.launcher.operations.cancel import cancel_run
from curator_slurm.launcher.operations.collect import collect
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.slurm import shared_answers
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.shared_answers import CLOCKS_S
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status import ask_slurm
from curator_slurm.launcher.status.gather import observe, status_of, statuses_of
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.watch import Watcher

__all__ = ["own_home"]


@pytest.fixture(autouse=True)
def quick_slurm(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs were submitted long enough ago that answers count which come now."""
    shared = ask_slurm.SharedAnswers
    monkeypatch.setattr(
        ask_slurm, "SharedAnswers", lambda folder, least_s, since: shared(folder, least_s, since - CLOCKS_S - 1)
    )


def polled(folder: Path, poll_s: float = 600.0) -> Plan:
    return plan(folder).model_copy(update={"site": {"limits": {"poll_s": poll_s}}})


def asked(fake: FakeSlurm) -> Counter[str]:
    return Counter(call[0] for call in fake.calls)


@pytest.mark.usefixtures("long_ago")
def test_ten_that_watch_cost_what_one_costs(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "TURN_S", 60.0)  # on a busy machine, too
    monkeypatch.setattr(shared_answers, "LONGEST_WAIT_S", 120.0)
    fake_slurm.pause()
    runs = [submit_shards(tmp_path, 2, polled(tmp_path)).run for _ in range(2)]
    before = asked(fake_slurm)
    everybody = threading.Barrier(10)
    states: list[RunState] = []

    def command(run: Run, *, watches: bool) -> None:
        everybody.wait()
        if not watches:
            states.append(status_of(run, shares=True).state)
            return
        clock = iter(range(0, 10_000, 100))
        watcher = Watcher(run, lambda: float(next(clock)), patience_s=60)
        for _ in range(3):
            states.append(watcher.poll().state)

    threads = [
        threading.Thread(target=command, args=(runs[number % 2],), kwargs={"watches": number < 5})
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [RunState.PENDING] * 20
    assert asked(fake_slurm) - before == Counter(squeue=1)
    statuses_of(runs, shares=True)
    assert (asked(fake_slurm) - before)["squeue"] == 1
    statuses_of(runs)
    assert (asked(fake_slurm) - before)["squeue"] == 2


def test_without_a_limit_each_command_asks(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = submit_shards(tmp_path, 2).run
    before = asked(fake_slurm)
    for _ in range(3):
        status_of(run, shares=True)
    assert asked(fake_slurm) - before == Counter(squeue=3)
    assert not (tmp_path / "cache").exists()


def test_a_job_that_was_just_submitted_is_not_taken_for_gone(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    first = submit_shards(tmp_path, 2, polled(tmp_path)).run
    status_of(first, shares=True)
    second = submit_shards(tmp_path, 2, polled(tmp_path)).run
    assert status_of(second, shares=True).state is RunState.PENDING


@pytest.mark.usefixtures("long_ago")
def test_who_acts_asks_always(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = submit_shards(tmp_path, 3, polled(tmp_path), {1: "die"}).run
    assert status_of(run, shares=True).state is RunState.PENDING
    fake_slurm.resume()
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    again = retry(load_run(run.paths.root), RetryRequest(), {})
    assert again.choice.shards == [1], "by an old answer, nothing has ended"
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    fake_slurm.pause()
    other = submit_shards(tmp_path, 2, polled(tmp_path)).run
    assert status_of(other, shares=True).state is RunState.PENDING
    cancel_run(other)
    assert status_of(other, shares=True).state is RunState.CANCELLED, "cancel has made the old answer void"


@pytest.mark.usefixtures("long_ago")
def test_nothing_is_removed_because_of_an_answer_of_others(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 2, polled(tmp_path), {0: "die", 1: "die"}).run
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    run.paths.secrets.mkdir(exist_ok=True)
    first, status = observe(run, shares=True)
    assert first is not None
    assert (first.is_fresh, status.state, run.paths.secrets.exists()) == (True, RunState.FAILED, False)
    run.paths.secrets.mkdir()
    second, status = observe(run, shares=True)
    assert second is not None
    assert (second.is_fresh, status.state, run.paths.secrets.exists()) == (False, RunState.FAILED, True)
    observe(run)
    assert not run.paths.secrets.exists()


def test_nothing_is_collected_because_of_an_answer_of_others(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.pause()
    run = submit_shards(tmp_path, 2, polled(tmp_path)).run

    def by_another(run: Run, *, shares: bool = False) -> RunStatus:
        return replace(status_of(run), state=RunState.FAILED) if shares else status_of(run)

    monkeypatch.setattr("curator_slurm.launcher.operations.collect.status_of", by_another)
    with pytest.raises(RunIncompleteError, match="--wait waits for its end"):
        collect(run, lambda *_: None)


@pytest.mark.usefixtures("long_ago")
def test_the_end_that_a_watch_shows_is_confirmed_by_slurm(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "watcher", RunWatcher())  # the one of the process knows jobs of other tests
    run = submit_shards(tmp_path, 2, polled(tmp_path), {0: "die"}).run
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    status_of(run, shares=True)
    before = asked(fake_slurm)
    handle = Job(run.paths.root)
    assert handle.status().state is RunState.INCOMPLETE
    assert asked(fake_slurm) == before
    assert handle.done()
    assert asked(fake_slurm) - before == Counter(squeue=1)
    before = asked(fake_slurm)
    assert Watcher(run, patience_s=60).poll().state is RunState.INCOMPLETE
    assert asked(fake_slurm) - before == Counter(squeue=1)
