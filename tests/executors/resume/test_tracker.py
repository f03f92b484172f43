"""The tracker's sums, where whole runs do not reach: rounds that begin anew, reports of strangers."""

from __future__ import annotations

from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.resume.tracker import SourceTracker
from curator_slurm.executors.task_failures import FailedTaskRecord


def report(*sources: tuple[str, int], failed: str = "") -> BatchReport:
    failures = (FailedTaskRecord("b", "0_a_0", failed, 1, "bad", ""),) if failed else ()
    return BatchReport(1, 1, 0, 1, 0.1, failures, sources=sources)


def test_a_round_that_begins_anew_forgets_what_was_on_its_way() -> None:
    tracker = SourceTracker(["a", "b", "c"], 0)
    assert tracker.record(0, report(("x", 1), ("y", 1), ("z", 1))) == []
    assert tracker.record(1, report(("x", 4))) == []
    assert tracker.record(2, report(("x", -3))) == []
    assert tracker.record(2, report(("z", -1))) == ["z"]
    assert tracker.record(1, report(failed="y")) == []
    tracker.restart(["x", "y", ""], [])
    assert tracker.record(1, report(("x", 4))) == []
    assert tracker.record(2, report(("y", -1))) == ["y"]
    assert tracker.record(2, report(("x", -4))) == []
    assert tracker.record(2, report(("x", -1))) == ["x"]


def test_failures_of_finished_work_stand_when_a_round_begins_anew() -> None:
    tracker = SourceTracker(["a", "b"], 0)
    tracker.record(0, report(("x", 1), ("y", 1)))
    failure = FailedTaskRecord("b", "0_x_0", "x", 1, "bad", "")
    tracker.restart(["x", "y"], [failure])
    assert tracker.record(1, report(("x", -1), ("y", -1))) == ["y"]


def test_sources_that_this_run_has_not_opened_do_not_count() -> None:
    tracker = SourceTracker(["before", "source", "last"], 1)
    assert tracker.record(0, report(("old", -1), ("old", 1))) == []
    assert tracker.record(2, report(("old", 0))) == []
