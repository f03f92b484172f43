"""Columns in the names of folders: `year=2024/lang=en/a.parquet`, as Hive, Spark and Arrow write data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from curator_slurm.executors.stages.columns import column_names, with_column

CHOICES = ("hive", None)
"""What `partitioning` in `read_kwargs` may be: with these columns, or without."""
_FOLDER = re.compile(r"([^=/]+)=([^/]*)")
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def with_partition_columns(data: Any, counts: Mapping[str, int]) -> Any:
    """The rows of several files, of each as many as `counts` says, with these columns behind their own.

    Own columns have precedence. Values are numbers where all of a column in these files are whole numbers; one with a
    leading zero is text.
    """
    texts = {path: _texts(path) for path in counts}
    for name in dict.fromkeys(name for each in texts.values() for name in each):
        if name in column_names(data):
            continue
        kind = int if all(_is_whole(each.get(name)) for each in texts.values()) else str
        values: list[Any] = []
        for path, count in counts.items():
            text = texts[path].get(name)
            values += [None if text is None else kind(text)] * count
        data = with_column(data, name, values)
    return data


def partition_names(paths: Iterable[str]) -> list[str]:
    """The names of these columns."""
    return list(dict.fromkeys(name for path in paths for name in _texts(path)))


def _texts(path: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        match = _FOLDER.fullmatch(folder)
        if match:
            name, value = map(unquote, match.groups())
            found[name] = None if value == _NULL else value
    return found


def _is_whole(value: str | None) -> bool:
    return value is None or _WHOLE.fullmatch(value) is not None
