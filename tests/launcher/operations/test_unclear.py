"""A submission of which nobody knows whether Slurm has accepted it, and answers that cannot be read: no second job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from sharded_runs import plan, submit_shards

from curator_slurm.launcher.errors import SlurmError, UnclearSubmissionError
from curator_slurm.launcher.operations.launch import Launched
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of

LOST = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


def lose(fake: FakeSlurm, folder: Path) -> Launched:
    """Submit; sbatch works and its answer is lost, and nobody can be asked."""
    real = fake.bin / "sbatch"
    kept = real.rename(real.with_name("real-sbatch"))
    real.write_text(f"#!/bin/sh\n'{kept}' \"$@\" >/dev/null\necho '{LOST.strip()}' >&2\nexit 1\n")
    real.chmod(0o755)
    fake.fail_next("squeue", stderr=DOWN, times=2)
    try:
        return submit_shards(folder, 2, plan(folder)).launched
    finally:
        kept.rename(real)


def only_run(folder: Path) -> Run:
    (path,) = registry.run_directories([folder / "runs"])
    return registry.load_run(path)


def test_the_run_that_may_exist_is_named(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    launched = lose(fake_slurm, tmp_path)
    run = only_run(tmp_path)
    for words in (f"status {run.paths.root}", f"retry {run.paths.root}", "do not submit the spec again"):
        assert words in launched.problem
    assert status_of(run).state is RunState.PENDING
    assert registry.load_run(run.paths.root).record


def test_the_spec_is_not_submitted_again_while_slurm_is_away(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    lose(fake_slurm, tmp_path)
    run = only_run(tmp_path)
    fake_slurm.fail_next("squeue", stderr=DOWN, times=2)
    with pytest.raises(UnclearSubmissionError, match=str(run.paths.root)):
        submit_shards(tmp_path, 2, plan(tmp_path))
    assert len(fake_slurm.jobs) == 1


def test_the_spec_is_not_submitted_again_when_its_job_is_found(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    lose(fake_slurm, tmp_path)
    (job,) = fake_slurm.jobs
    with pytest.raises(UnclearSubmissionError, match=f"as job {job.id}"):
        submit_shards(tmp_path, 2, plan(tmp_path))
    assert len(fake_slurm.jobs) == 1
    assert submit_shards(tmp_path, 2, plan(tmp_path)).launched.error is None, "asked for once more, it is submitted"


def test_a_submission_that_never_reached_slurm_keeps_nobody_from_submitting(
    fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    fake_slurm.pause()
    lose(fake_slurm, tmp_path)
    (fake_slurm.folder / "jobs" / str(fake_slurm.jobs[0].id)).rename(tmp_path / "gone")
    assert submit_shards(tmp_path, 2, plan(tmp_path)).launched.error is None


ANSWERS = ["exit 0", "echo Welcome"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_retry_submits_nothing_on_an_answer_that_cannot_be_read(
    fake_slurm: FakeSlurm, tmp_path: Path, answer: str
) -> None:
    fake_slurm.pause()
    run = submit_shards(tmp_path, 2, plan(tmp_path)).launched.run
    real = fake_slurm.bin / "squeue"
    kept = real.rename(real.with_name("real-squeue"))
    real.write_text(f"#!/bin/sh\n{answer}\n")
    real.chmod(0o755)
    with pytest.raises(SlurmError, match="cannot be parsed"):
        retry(registry.load_run(run.paths.root), RetryRequest(), os.environ)
    status = status_of(registry.load_run(run.paths.root))
    assert status.state is RunState.UNKNOWN
    assert "The output of squeue cannot be parsed" in status.warnings[0]
    kept.rename(real)
    assert len(fake_slurm.calls_of("sbatch")) == 1
    assert status_of(registry.load_run(run.paths.root)).state is RunState.PENDING
