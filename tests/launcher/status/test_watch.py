"""How often a watched run makes us ask Slurm, and that nothing is missed between two questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, node_status, outcome, submitted_run

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.slurm.parse import JobInfo
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status import gather, reports
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer, ask
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
    watcher = Watcher(run, clock)
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
    for status in Watcher(run, clock).follow(1, clock.sleep):
        seen.append(status.state)
        if len(seen) == 3:
            outcome(attempt)
    assert seen == [RunState.RUNNING] * 3 + [RunState.COMPLETED]


def test_a_run_that_cannot_be_read_any_more(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    watcher = Watcher(run, Clock())
    watcher.poll()
    run.paths.record.write_text("{")
    assert (watcher.poll().state, watcher.gathered) == (RunState.UNKNOWN, None)


def test_an_outcome_written_while_we_looked_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is over when Slurm is asked, and its outcome comes right then."""
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)

    def late(run: Run) -> tuple[Sequence[Any], SlurmAnswer]:
        outcome(attempt)
        return ask(run)[0], SlurmAnswer(jobs={"4711": JobInfo(job_id="4711", state=SlurmState.FAILED)})

    monkeypatch.setattr(gather, "ask", late)
    assert status_of(run).state is RunState.COMPLETED


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
    watcher = Watcher(run, clock := Clock())
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
