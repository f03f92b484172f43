"""Functions of texts on columns in which a value may be no text: such a value costs its row, not the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from curator_slurm.executors.remarks import described, leave_out

_LONGEST_SHOWN = 40


def results_of(function: Callable[[Any], Any], values: Sequence[Any], column: str, task: Any) -> tuple[list[Any], Any]:
    """What a function makes of each value, and for each row of the task whether it stays.

    Where it fails on a value that is no text (a number, a list, null), the row is left out if failures are skipped. Its
    error on a text is the stage's: that is no fault of the row.

    Raises:
        ValueError: a value is no text, and failures are not skipped; it names file, row and column.
    """
    results: list[Any] = []
    stays = [True] * len(values)
    for row, value in enumerate(values):
        try:
            results.append(function(value))
        except (AttributeError, TypeError, ValueError) as error:
            if isinstance(value, str):
                raise
            stays[row] = False
            leave_out(_refusal(value, f"{described(task)}, row {row + 1}, column {column!r}", error))
    return results, stays


def _refusal(value: Any, where: str, error: Exception) -> ValueError:
    shown = ascii(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    refusal = ValueError(f"{where}: failed at {shown}, which is no text: {type(error).__name__}: {error}")
    refusal.__cause__ = error
    return refusal
