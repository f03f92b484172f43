"""Columns in the names of folders: `year=2024/lang=en/a.parquet`, as Hive, Spark and Arrow write data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from curator_slurm.executors.stages.columns import column_names, with_column
from curator_slurm.executors.stages.io.storage import names

CHOICES = ("hive", None)
"""What `partitioning` in `read_kwargs` may be: with these columns, or without."""
_FOLDER = re.compile(r"([^=/]+)=([^/]*)")
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


_MOST_KEPT = 10_000
_KEPT: dict[tuple[str, str], frozenset[str]] = {}
"""What the folders beside each other say, by the folder that they are in and the name of the column."""


def with_partition_columns(
    data: Any, counts: Mapping[str, int], storage_options: Mapping[str, Any] | None = None
) -> Any:
    """The rows of several files, of each as many as `counts` says, with these columns behind their own.

    Own columns have precedence. Values are numbers where all of a column are whole numbers, in these files and in the
    folders beside theirs, so that each group and shard has the same type; one with a leading zero is text.
    """
    texts = {path: _texts(path) for path in counts}
    for name in dict.fromkeys(name for each in texts.values() for name in each):
        if name in column_names(data):
            continue
        beside = (text for path in counts for text in _beside(path, name, storage_options))
        is_whole = all(_is_whole(each.get(name)) for each in texts.values()) and all(map(_is_whole, beside))
        kind = int if is_whole else str
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


def _beside(path: str, name: str, storage_options: Mapping[str, Any] | None) -> frozenset[str]:
    """The values of a column in the names of the folders beside the one that `path` is in; none of files alone."""
    folders = path.split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders) if name in _texts(f"{folder}/")), None)
    if not depth:
        return frozenset()
    parent = "/".join(folders[:depth]) or "/"
    if (parent, name) not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        try:
            found = [_texts(f"{folder}/") for folder in names(parent, storage_options)]
        except OSError:  # it may be read, and not be listed
            found = []
        _KEPT[parent, name] = frozenset(value for each in found if (value := each.get(name)) is not None)
    return _KEPT[parent, name]


def _is_whole(value: str | None) -> bool:
    return value is None or _WHOLE.fullmatch(value) is not None
