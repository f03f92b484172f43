"""What a task lacks of what a stage asks for: attributes, and columns of its data."""

from __future__ import annotations

from typing import Any

from curator_slurm.executors.remarks import described

_MOST_COLUMNS = 20
"""That a message lists."""


def missing_input(stage: Any, task: Any) -> str:
    """What is missing, in words that name task, files and the columns that are there; empty where nothing is."""
    try:
        attributes, columns = stage.input_spec_for_task(task)
    except TypeError as error:
        return str(error)
    have: Any = ()
    missing = [name for name in attributes if not hasattr(task, name)]
    if columns:
        get_columns = getattr(task, "get_columns", None)
        have = get_columns() if callable(get_columns) else getattr(task.data, "column_names", ())
        missing += [name for name in columns if name not in have and not hasattr(task.data, name)]
    if not missing:
        return ""
    shown = [repr(name) for name in list(have)[:_MOST_COLUMNS]] + ["..."] * (len(have) > _MOST_COLUMNS)
    there = f"; its columns are {', '.join(shown)}" if shown else ""
    return f"{described(task)} lacks {', '.join(map(repr, missing))}, which stage {stage.name!r} needs{there}"


def refusal(stage: Any, task: Any) -> ValueError:
    """The error for a task that a stage's `validate_input` has refused; a stage of its own kind may not say why."""
    words = missing_input(stage, task) if hasattr(stage, "input_spec_for_task") else ""
    return ValueError(words or f"{described(task)} is not what stage {stage.name!r} takes; see the log of the worker")
