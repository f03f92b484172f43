"""When a success has kept nothing, and which stage it was."""

import pytest

from curator_slurm.launcher.runs.nothing_kept import nothing_kept


def stage(name, tasks_in, tasks_out, failed=0, filtered=0, items_in=0):
    return {
        "name": name, "tasks_in": tasks_in, "tasks_out": tasks_out, "tasks_failed": failed,
        "tasks_filtered": filtered, "items_in": items_in, "items_out": tasks_out,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([stage("read", 1, 4), stage("filter", 4, 3, filtered=1), stage("write", 3, 3)], ""),
        ([stage("read", 1, 0), stage("write", 0, 0)], "nothing was read: stage 'read' has found no input"),
        ([stage("read", 3, 0, failed=3), stage("write", 0, 0)], "all 3 tasks failed in stage 'read'"),
        ([stage("read", 1, 4), stage("clean", 4, 0, failed=4), stage("write", 0, 0)], "all 4 tasks failed in stage"),
        (
            [stage("read", 1, 4), stage("quality", 4, 0, filtered=4, items_in=604), stage("write", 0, 0)],
            "stage 'quality' dropped all 604 items in 4 tasks",
        ),
        (
            [stage("read", 1, 4), stage("quality", 4, 0, failed=1, filtered=3, items_in=604), stage("write", 0, 0)],
            "dropped all 604 items in 4 tasks, and 1 failed",
        ),
        ([], ""),
    ],
)
def test_the_stage_that_kept_nothing_is_named(stages, words):
    found = nothing_kept({"stages": stages})
    assert words in found
    assert bool(words) == bool(found)


def batches(name, items_in, items_out, kind="DocumentBatch"):
    return {"name": name, "kind": kind, "tasks_in": 3, "tasks_out": 3, "items_in": items_in, "items_out": items_out}


FILES, READ, WRITE = batches("files", 1, 3, "FileGroup"), batches("read", 3, 604), batches("write", 0, 0, "FileGroup")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([FILES, READ, batches("quality", 604, 0), WRITE], "stage 'quality' dropped all 604 items"),
        ([FILES, READ, batches("quality", 604, 0)], "stage 'quality' dropped all 604 items"),
        ([FILES, batches("read", 3, 0), batches("quality", 0, 0), WRITE], "'read' has found nothing in 3 files"),
        ([FILES, READ, batches("quality", 604, 1), batches("write", 1, 1, "FileGroup")], ""),
        ([FILES, READ, batches("sink", 604, 0, "Done")], ""),
        ([batches("make", 1, 0, "Own"), batches("work", 0, 0, "Own")], ""),
    ],
)
def test_batches_without_items_are_nothing(stages, words):
    found = nothing_kept({"stages": stages})
    assert words in found
    assert bool(words) == bool(found)


def test_the_first_pipeline_of_a_workflow_counts_too():
    good = {"stages": [stage("read", 1, 4), stage("write", 4, 4)]}
    assert "no input" in nothing_kept({**good, "earlier": [{"pipeline": "a", "stages": [stage("read", 1, 0)]}]})
    assert nothing_kept({**good, "earlier": [{"pipeline": "a", **good}]}) == ""


def test_a_pipeline_that_goes_on_may_have_nothing_left_to_read():
    assert nothing_kept({"stages": [stage("read", 1, 0)]}, resumed=True) == ""


@pytest.mark.parametrize("damaged", [None, {}, {"stages": 7}, {"stages": [7, None]}, {"earlier": "x"}])
def test_what_tells_nothing_is_no_warning(damaged):
    assert nothing_kept(damaged) == ""
