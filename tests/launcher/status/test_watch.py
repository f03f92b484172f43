"""How often a watched run makes us ask Slurm, and that nothing is missed between two questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, node_status, outcome, submitted_run

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.slurm.job_info import JobInfo
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status import gather, reports, watch
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer, ask
from curator_slurm.launcher.status.early import NO_ANSWER_YET
from curator_slurm.launcher.status.gather import status_of
from curator_slurm.launcher.status.watch import Watcher


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_slurm_is_asked_far_less_often_than_files(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    attempt = new_attempt(run := submitted_run(tmp_path))
    event(attempt, "driver_started")
    clock = Clock()
    watcher = Watcher(run, clock, patience_s=60)
    for _ in range(60):
        assert watcher.poll().state is RunState.RUNNING
        clock.now += 1
    assert len(fake_slurm.calls_of("squeue")) <= 6


def test_following_ends_with_the_final_state(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    clock = Clock()
    seen = []
    for status in Watcher(run, clock, patience_s=60).follow(1, clock.sleep):
        seen.append(status.state)
        if len(seen) == 3:
            outcome(attempt)
    assert seen == [RunState.RUNNING] * 3 + [RunState.COMPLETED]


def test_a_run_that_cannot_be_read_any_more(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    watcher = Watcher(run, Clock(), patience_s=60)
    watcher.poll()
    run.paths.record.write_text("{")
    assert (watcher.poll().state, watcher.gathered) == (RunState.UNKNOWN, None)


def test_an_outcome_written_while_we_looked_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is over when Slurm is asked, and its outcome comes right then."""
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)

    def late(run: Run, **_: object) -> tuple[Sequence[Any], SlurmAnswer]:
        outcome(attempt)
        return ask(run)[0], SlurmAnswer(jobs={"4711": JobInfo(job_id="4711", state=SlurmState.FAILED)})

    monkeypatch.setattr(gather, "ask", late)
    assert status_of(run).state is RunState.COMPLETED


@pytest.fixture
def slow_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Slurm answers when this event is set, that the job runs."""
    answers = threading.Event()

    def slow(run: Run, **_: object) -> tuple[Sequence[Any], SlurmAnswer]:
        answers.wait()
        return ask(run)[0], SlurmAnswer(jobs={"4711": JobInfo(job_id="4711", state=SlurmState.RUNNING)})

    monkeypatch.setattr(watch, "ask", slow)
    yield answers
    answers.set()


def poll_until(watcher: Watcher, state: RunState) -> None:
    deadline = time.monotonic() + 60
    while watcher.poll().state is not state:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_files_are_shown_while_slurm_does_not_answer(
    tmp_path: Path, fake_slurm: FakeSlurm, slow_slurm: threading.Event
) -> None:
    run = submitted_run(tmp_path)
    event(attempt := new_attempt(run), "driver_started")
    watcher = Watcher(run, clock := Clock(), patience_s=0.01)
    status = watcher.poll()
    assert status.state is RunState.RUNNING
    assert status.warnings[0].startswith(NO_ANSWER_YET.error)
    outcome(attempt)
    status = watcher.poll()
    assert (status.state, status.message) == (
        RunState.UNKNOWN,
        "By its files, this run has ended (completed); Slurm has not answered yet.",
    )
    slow_slurm.set()
    poll_until(watcher, RunState.COMPLETED)
    assert clock.now == 0


def test_an_older_answer_counts_while_slurm_does_not_answer(
    tmp_path: Path, fake_slurm: FakeSlurm, slow_slurm: threading.Event
) -> None:
    event(new_attempt(run := submitted_run(tmp_path)), "driver_started")
    watcher = Watcher(run, clock := Clock(), patience_s=0.01)
    slow_slurm.set()
    while watcher.poll().warnings:
        time.sleep(0.05)
    slow_slurm.clear()
    clock.now += 60
    status = watcher.poll()
    assert (status.state, list(status.warnings)) == (RunState.RUNNING, [])


def test_many_nodes_are_read_seldom_and_all_of_them_at_the_end(
    tmp_path: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = new_attempt(run := submitted_run(tmp_path))
    event(attempt, "driver_started")
    names = [f"n{number}" for number in range(200)]
    for name in names:
        node_status(attempt, name, "joined")
    read: list[str] = []
    read_object = reports.read_object

    def count(path: Path | str) -> reports.Json | None:
        if Path(path).name == "status.json":
            read.append(Path(path).parent.name)
        return read_object(path)

    monkeypatch.setattr(reports, "read_object", count)
    watcher = Watcher(run, clock := Clock(), patience_s=60)
    for _ in range(60):
        status = watcher.poll()
        assert status.only is not None
        assert len(status.only.detail.node_reports) == len(names)
        clock.now += 1
    assert 0 < len(read) <= 60 * reports.MOST_READINGS + len(names)
    read.clear()
    outcome(attempt, "failed", failure_class="app_failed")
    assert watcher.poll().state is RunState.FAILED
    assert set(read) == set(names)
