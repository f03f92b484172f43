"""Whether a pipeline that has succeeded has kept anything: said in words from the driver's progress.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curator_slurm.common.in_words import all_of, several
from curator_slurm.common.json_fields import whole


def nothing_kept(progress: Mapping[str, Any] | None, *, resumed: bool = False) -> str:
    """Why nothing has left the last stage, and of which stage; empty where something has, or nobody can tell.

    `resumed`: the pipeline has a checkpoint, so that a source that makes nothing may have nothing left to make.
    """
    pipelines = [progress, *_dicts((progress or {}).get("earlier"))] if progress else []
    for pipeline in pipelines:
        stages = _dicts(pipeline.get("stages"))
        if stages and (words := _of(stages, resumed=resumed)):
            return words
    return ""


def _of(stages: Sequence[Mapping[str, Any]], *, resumed: bool) -> str:
    for number, stage in enumerate(stages):
        taken, given = _count(stage, "tasks_in"), _count(stage, "tasks_out")
        if given:
            continue
        name = str(stage.get("name", "?"))
        failed, filtered = _count(stage, "tasks_failed"), _count(stage, "tasks_filtered")
        items = _count(stage, "items_in")
        if taken and failed >= taken:
            return f"nothing was kept: {all_of(taken, 'task')} failed in stage {name!r}"
        if number and taken and filtered:
            rest = f", and {failed:,} failed" if failed else ""
            of = f"{all_of(items, 'item')} in {several(taken, 'task')}" if items else all_of(taken, "task")
            return f"nothing was kept: stage {name!r} dropped {of}{rest}"
        if not number and not resumed:
            return f"nothing was read: stage {name!r} has found no input"
        return ""
    return _of_items(stages)


def _of_items(stages: Sequence[Mapping[str, Any]]) -> str:
    """The same of batches that go on without any item in them."""
    empty = [not _count(stage, "items_out") for stage in stages]
    if not empty[-1]:
        return ""
    first = next(number for number in range(len(stages)) if all(empty[number:]))
    stage, items = stages[first], _count(stages[first], "items_in")
    same_kind = first > 0 and stage.get("kind") == stages[first - 1].get("kind")
    name, failed = str(stage.get("name", "?")), _count(stage, "items_failed")
    if first == 0 or not items or (first == len(stages) - 1 and not same_kind):
        return ""  # tasks of a kind that has no items, or a last stage that returns nothing of what it wrote
    if not same_kind:
        return (
            f"nothing was read: stage {name!r} has found nothing in {several(items, 'file')} or "
            f"{'item' if items == 1 else 'items'}"
        )
    rest = f", and {failed:,} failed" if failed else ""
    return f"nothing was kept: stage {name!r} dropped {all_of(items, 'item')}{rest}"


def _count(stage: Mapping[str, Any], key: str) -> int:
    return whole(stage.get(key)) or 0


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
