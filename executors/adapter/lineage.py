"""Which input an output descends from, and the ids of tasks: a child's id is its parent's and a segment of its own.

One input: every output is its child, numbered. As many outputs as inputs: matched by position. Otherwise the parent is
not known; such ids start with "r" and are derived from all inputs, so that the same batch gives the same ids.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.tasks import ROOT_ID, content_id, is_none_marker, join_id


@dataclass
class Child:
    """One slot of a stage's result. `parent` is the position of its input, None where that is not known."""

    task: Any
    parent: int | None
    task_id: str
    source: str

    def claim(self) -> Any:
        """The output itself, with its id on it."""
        self.task.task_id = self.task_id
        self.task._source_id = self.source
        return self.task


def children_of_one(stage: Any, task: Any, output: Any) -> list[Child]:
    """What `process` returned for one task."""
    return _numbered(stage, task, 0, _flat(output), Counter(), set())


def children_of_batch(stage: Any, tasks: list[Any], outputs: Any) -> list[Child]:
    """What `process_batch` returned for several tasks."""
    if outputs is None or isinstance(outputs, (str, bytes, dict)) or not isinstance(outputs, Iterable):
        raise TypeError(f"process_batch returned {type(outputs).__name__}, not a list of tasks")
    slots = list(outputs)
    taken: Counter[str] = Counter()
    seen: set[int] = set()
    if len(tasks) == 1:
        flat = [task for slot in slots for task in _flat(slot)]
        return _numbered(stage, tasks[0], 0, flat, taken, seen)
    if len(slots) == len(tasks):
        children = []
        for index, (parent, slot) in enumerate(zip(tasks, slots, strict=True)):
            children += _numbered(stage, parent, index, _flat(slot), taken, seen)
        return children
    origin = content_id([str(stage.name), *(task.task_id for task in tasks)])
    sources = {_source(task) for task in tasks}
    shared = sources.pop() if len(sources) == 1 else ""
    flat = [task for slot in slots for task in _flat(slot)]
    ids = [f"r{origin}x{index}" for index in range(len(flat))]
    return [
        Child(_own(task, seen), None, task_id, task_id if _is_source(stage) else shared)
        for task, task_id in zip(flat, ids, strict=True)
    ]


def _numbered(
    stage: Any, parent: Any, index: int, outputs: list[Any], taken: Counter[str], seen: set[int]
) -> list[Child]:
    children = []
    for position, output in enumerate(outputs):
        segment = _segment(stage, output, position)
        task_id = join_id(parent.task_id, segment)
        taken[task_id] += 1
        if taken[task_id] > 1:  # the same content twice, the same files listed twice: two tasks all the same
            task_id = f"{task_id}x{taken[task_id] - 1}"
        source = task_id.removeprefix(f"{ROOT_ID}_") if _is_source(stage) else _source(parent)
        children.append(Child(_own(output, seen), index, task_id, source))
    return children


def _flat(output: Any) -> list[Any]:
    if isinstance(output, (list, tuple)):
        return [part for slot in output for part in _flat(slot)]
    if not is_none_marker(output) and not hasattr(output, "_stage_perf"):
        raise TypeError(f"the stage returned a {type(output).__name__} where a task is expected")
    return [output]


def _own(output: Any, seen: set[int]) -> Any:
    """The output, or a copy if the stage returned the same object twice: each needs an id of its own."""
    if is_none_marker(output):
        return output
    if id(output) in seen:
        return copy.copy(output)
    seen.add(id(output))
    return output


def _segment(stage: Any, task: Any, position: int) -> str | int:
    """A source stage names its outputs by their content where they can say it, else by position."""
    if _is_source(stage) and not is_none_marker(task):
        own = getattr(task, "get_deterministic_id", lambda: None)()
        if own:
            return str(own)
    return position


def _is_source(stage: Any) -> bool:
    return bool(getattr(stage, "is_source_stage", False))


def _source(task: Any) -> str:
    return str(getattr(task, "_source_id", "") or "")
