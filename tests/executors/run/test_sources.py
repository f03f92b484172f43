"""Which sources must run again after a loss: plain bookkeeping, compared with a simulation."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from curator_slurm.executors import Task
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.run.sources import Sources, Tally
from curator_slurm.executors.task_failures import FailedTaskRecord, LostTasksError


def tasks(count: int) -> list[Any]:
    return [Task("numbers", number) for number in range(count)]


def report(inputs: int, parents: list[Any], failed: tuple[int, ...] = ()) -> BatchReport:
    records = tuple(FailedTaskRecord("stage", f"0_{position}", "", 1, "bad", "") for position in failed)
    used = {p for parent in parents for p in (range(*parent) if isinstance(parent, tuple) else [parent])}
    filtered = inputs - len(used | set(failed))
    return BatchReport(inputs, len(parents), filtered, 0, 0.0, records, parents=parents, failed_inputs=failed)


def test_a_source_is_settled_when_none_of_its_tasks_is_on_its_way() -> None:
    sources = Sources(2, tasks(2))
    fan_out = sources.record(0, [0, 1], report(2, [0, 0, 1]))
    assert fan_out == [0, 0, 1]
    last = sources.record(1, [0], report(1, [0]))
    sources.finish(["a"], last)
    assert (sources.outputs, sources.unfinished_groups) == ([], [0, 1])
    sources.finish(["b"], sources.record(1, [0], report(1, [0])))
    assert (sources.outputs, sources.unfinished_groups) == (["a", "b"], [1])
    assert sources.settled[0] == Tally(1, 2, 0, 0)
    assert sources.settled[1] == Tally(2, 2, 0, 0)


def test_tasks_that_vanish_are_an_error() -> None:
    sources = Sources(2, tasks(2))
    sources.record(0, [0], report(1, [0, 0]))
    with pytest.raises(LostTasksError, match="3 tasks lost: neither"):
        sources.check_finished()


def test_what_unfinished_sources_gave_is_forgotten() -> None:
    sources = Sources(1, tasks(3))
    sources.finish(["0"], sources.record(0, [0], report(1, [0])))
    sources.record(0, [1, 2], report(2, [0], failed=(1,)))
    assert [record.task_id for record in sources.failures] == ["0_1"]  # settled by its failure
    assert [task.data for task in sources.unfinished] == [1]
    sources.restart()
    sources.finish(["1"], sources.record(0, [1], report(1, [0])))
    assert sources.outputs == ["0", "1"]
    assert sources.unfinished == []
    assert sources.settled[0] == Tally(3, 2, 0, 1)


def test_items_and_rows_of_settled_sources_are_theirs() -> None:
    sources = Sources(1, tasks(3))
    left_out = FailedTaskRecord("stage", "0_1", "", 1, "bad", "", "file", 3, 4)
    whole = replace(
        report(3, [0, 1], failed=(2,)), items_in=21, items_out=8, items_failed=9, items_of_inputs=(5, 7, 9),
        items_of_outputs=(5, 3), rows_left_out=((1, left_out),),
    )  # fmt: skip
    groups = sources.record(0, [0, 1, 2], whole)
    assert sources.settled[0] == Tally(1, 0, 0, 1, 9, 0, 9, 0)  # the third one, by its failure
    sources.finish(["out"], groups[1:])
    assert sources.settled[0] == Tally(2, 1, 0, 1, 16, 3, 9, 4)
    sources.restart()  # the first one is lost
    again = replace(report(1, [0]), items_in=5, items_out=5)
    sources.finish(["out"], sources.record(0, [0], again))
    assert sources.settled[0] == Tally(3, 2, 0, 1, 21, 8, 9, 4)


def test_tasks_without_a_known_parent_tie_their_sources_together() -> None:
    sources = Sources(2, tasks(4))
    groups = sources.record(0, [0, 1, 2, 3], report(4, [(0, 3), 3]))
    sources.finish(["x"], sources.record(1, [groups[0]], report(1, [0])))
    assert sources.outputs == ["x"]
    assert sources.unfinished_groups == [3]
    sources.restart()
    assert sources.unfinished_groups == [3]


def test_a_tie_is_forgotten_with_the_rest() -> None:
    sources = Sources(2, tasks(2))
    sources.record(0, [0, 1], report(2, [(0, 2)]))
    sources.restart()
    first = sources.record(0, [0], report(1, []))
    assert first == []
    assert sources.unfinished_groups == [1]


def test_outputs_of_the_first_stage_take_the_place_of_a_single_task() -> None:
    sources = Sources(3, tasks(1))
    assert sources.single
    groups = sources.replace_single(["a", "b"], sources.record(0, [0], report(1, [0, 0])))
    assert groups == [0, 1]
    assert (sources.first_stage, sources.unfinished, sources.settled[0]) == (1, ["a", "b"], Tally(1, 2, 0, 0))
    assert not sources.single


def test_several_tasks_cannot_be_replaced() -> None:
    sources = Sources(2, tasks(2))
    with pytest.raises(ValueError, match="single"):
        sources.replace_single(["a"], sources.record(0, [0], report(1, [0])))


@pytest.mark.parametrize("seed", range(20))
def test_random_losses_neither_lose_nor_duplicate(seed: int) -> None:
    """Three stages, batches of any size, some without parents, and from time to time everything in flight is lost."""
    chance = random.Random(seed)
    count, stages = 30, 3
    sources = Sources(stages, tasks(count))
    losses = 0
    queues: list[list[tuple[int, str]]] = []

    def begin() -> None:
        queues[:] = [
            list(zip(sources.unfinished_groups, (str(t.data) for t in sources.unfinished), strict=True)), [], []
        ]  # fmt: skip

    begin()
    while any(queues):
        if losses < 5 and chance.random() < 0.02:
            losses += 1
            sources.restart()
            begin()
            continue
        stage = chance.choice([index for index, queue in enumerate(queues) if queue])
        size = chance.randint(1, min(4, len(queues[stage])))
        batch, queues[stage] = queues[stage][:size], queues[stage][size:]
        if stage == 1 and size > 1 and int(batch[0][1].split("+")[0]) % 3 == 0:  # joined into one
            parents: list[Any] = [(0, size)]
            names = ["+".join(name for _, name in batch)]
        else:
            parents, names = list(range(size)), [name for _, name in batch]
        groups = sources.record(stage, [group for group, _ in batch], report(size, parents))
        if stage + 1 == stages:
            sources.finish(names, groups)
        else:
            queues[stage + 1] += zip(groups, names, strict=True)
        chance.shuffle(queues[min(stage + 1, stages - 1)])
    ended = sorted(int(part) for name in sources.outputs for part in name.split("+"))
    assert ended == list(range(count))
    assert sources.unfinished_groups == []
    assert sources.settled[0] == Tally(count, count, 0, 0)
    assert sources.settled[2].tasks_out == len(sources.outputs)
