"""How often a watched run makes us ask Slurm, and that nothing is missed between two questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, outcome, submitted_run

from curator_slurm.launcher.slurm.parse import JobInfo
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status import gather
from curator_slurm.launcher.status.decide import AttemptFacts
from curator_slurm.launcher.status.gather import Jobs, status_of
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
    for decision in Watcher(run, clock).follow(1, clock.sleep):
        seen.append(decision.state)
        if len(seen) == 3:
            outcome(attempt)
    assert seen == [RunState.RUNNING] * 3 + [RunState.COMPLETED]


def test_an_outcome_written_while_we_looked_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is over when Slurm is asked, and its outcome came after the files were read."""
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)

    def late(runs: list[tuple[object, AttemptFacts | None]], *, details: bool) -> Jobs:
        outcome(attempt)
        return Jobs({"4711": [JobInfo(job_id="4711", state=SlurmState.FAILED)]})

    monkeypatch.setattr(gather, "ask_slurm", late)
    assert status_of(run).state is RunState.COMPLETED


def test_a_job_whose_record_was_lost_is_found_by_its_files(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """submit died between sbatch and the record of its answer."""
    from run_dirs import new_run

    run = new_run(tmp_path)
    attempt = new_attempt(run, "77")
    event(attempt, "driver_started")
    assert status_of(run).state is RunState.RUNNING
    assert fake_slurm.calls_of("squeue")[0][-2] == "--jobs=77"
