"""Which shards a job processes: its line of elements.jsonl, or by hand what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faults
import pytest
from sharded_runs import publish, sharded_run

from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.runs.paths import SubmissionPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import CancelRequest, SubmissionRecord, write_submission
from curator_slurm.launcher.sharding.assignment import plan_file, shards_of_job


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return sharded_run(tmp_path, 7)


@pytest.fixture
def submission(run: Run) -> SubmissionPaths:
    paths = run.paths.submission(3)
    paths.root.mkdir(parents=True)
    paths.record.write_text("{}")
    elements = [Element(0, (5, 1)), Element(1, (2,))]
    paths.elements.write_text("".join(f"{element.to_line()}\n" for element in elements))
    return paths


def test_an_array_task_has_a_line(run: Run, submission: SubmissionPaths) -> None:
    assert shards_of_job(run.paths, submission, {"SLURM_ARRAY_TASK_ID": "0"}) == [5, 1]
    assert shards_of_job(run.paths, submission, {"SLURM_ARRAY_TASK_ID": "1"}) == [2]
    with pytest.raises(BootstrapError, match="no line for array task 2"):
        shards_of_job(run.paths, submission, {"SLURM_ARRAY_TASK_ID": "2"})


def test_one_job_takes_the_whole_submission(run: Run, submission: SubmissionPaths) -> None:
    assert shards_of_job(run.paths, submission, {}) == [5, 1, 2]


def test_a_job_that_starts_again_leaves_what_a_retry_has_taken_over(run: Run) -> None:
    """Its shard had failed, the user submitted it again, and then Slurm requeued the job with its other shards."""

    def submit(number: int, *elements: Element, **more: Any) -> SubmissionPaths:
        count = sum(len(element.shards) for element in elements)
        facts = {"prepared": 1.0, "comment": "", "elements": len(elements), "shards": count, "array": "0-9"}
        record = SubmissionRecord(number=number, purpose="retry", **facts, **more)
        return write_submission(run.paths, record, elements, {}).paths

    first = submit(0, Element(0, (5, 1, 3, 6)), job_id="100")
    submit(1, Element(0, (5,)), job_id="101")
    submit(2, Element(0, (1,)), refused="no")
    submit(3, Element(0, (6,)), Element(1, (3,)), job_id="102", cancelled=(CancelRequest(time=1.0, elements="1"),))
    task = {"SLURM_ARRAY_TASK_ID": "0"}
    assert shards_of_job(run.paths, first, task) == [5, 1, 3, 6], "the first time, there was no retry"
    assert shards_of_job(run.paths, first, {**task, "SLURM_RESTART_COUNT": "1"}) == [1, 3]


def test_by_hand_one_job_does_what_is_left(run: Run) -> None:
    publish(run, 0)
    publish(run, 4)
    run.paths.done(4).unlink()
    assert shards_of_job(run.paths, None, {}) == [1, 2, 3, 5, 6]


@pytest.mark.parametrize(("first", "step", "count"), [(0, 1, 3), (1, 1, 2), (10, 5, 4), (0, 1, 9)])
def test_by_hand_an_array_of_any_size_shares_them_out(run: Run, first: int, step: int, count: int) -> None:
    taken = []
    for place in range(count):
        variables = {"SLURM_ARRAY_TASK_ID": first + place * step, "SLURM_ARRAY_TASK_COUNT": count}
        variables |= {"SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_STEP": step}
        taken += shards_of_job(run.paths, None, {name: str(value) for name, value in variables.items()})
    assert sorted(taken) == list(range(7))


def test_damaged_elements(run: Run, submission: SubmissionPaths) -> None:
    submission.elements.write_text("{}\n")
    with pytest.raises(BootstrapError, match="cannot be used"):
        shards_of_job(run.paths, submission, {"SLURM_ARRAY_TASK_ID": "0"})


def test_a_submission_may_have_a_plan_of_its_own(run: Run, submission: SubmissionPaths) -> None:
    assert plan_file(run.paths, None) == plan_file(run.paths, submission) == run.paths.plan
    submission.plan.write_text("")
    assert plan_file(run.paths, submission) == submission.plan


def test_files_that_are_not_seen_yet_are_waited_for(run: Run, submission: SubmissionPaths) -> None:
    submission.plan.write_text("")
    waits: list[float] = []
    with faults.hidden(submission.root, 4) as left:
        assert plan_file(run.paths, submission, waits.append) == submission.plan
        assert left() == 0
    with faults.hidden(submission.root, 4):
        assert shards_of_job(run.paths, submission, {"SLURM_ARRAY_TASK_ID": "1"}, waits.append) == [2]
    assert len(waits) == 8


def test_files_that_are_never_seen_are_an_error(run: Run, submission: SubmissionPaths) -> None:
    waits: list[float] = []
    with faults.hidden(submission.root, 1 << 30), pytest.raises(BootstrapError, match=r"does not see .*0003"):
        plan_file(run.paths, submission, waits.append)
    assert 60 < sum(waits) < 120
