"""Tasks as rows of Ray Data's blocks: each row is one pickled task, so that blocks can be cut anywhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
from ray import cloudpickle

COLUMN = "task"


def to_table(tasks: Sequence[Any]) -> pa.Table:
    """Tasks as a block."""
    classes: dict[type, bytes] = {}
    return pa.table({COLUMN: pa.array([_dump(task, classes) for task in tasks], type=pa.large_binary())})


def to_tasks(table: pa.Table) -> list[Any]:
    """The tasks of a block."""
    return [cloudpickle.loads(value.as_buffer()) for value in table.column(COLUMN)]


class _RowPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles a class that must go by value, such as one of a script, once for a block instead of once for a row."""

    def __init__(self, file: io.BytesIO, classes: dict[type, bytes]) -> None:
        super().__init__(file)
        self._classes = classes

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, type):
            return super().reducer_override(obj)
        if obj not in self._classes:
            how = super().reducer_override(obj)
            if how is NotImplemented or len(how) == 2:  # imported by its name, or a built-in one
                return how
            self._classes[obj] = cloudpickle.dumps(obj)
        return load_class, (self._classes[obj],)


@lru_cache(maxsize=64)
def load_class(pickled: bytes) -> type:
    """A class that came by value; the same one for the same bytes."""
    cls: type = cloudpickle.loads(pickled)
    return cls


def _dump(task: Any, classes: dict[type, bytes]) -> bytes:
    with io.BytesIO() as file:
        _RowPickler(file, classes).dump(task)
        return file.getvalue()
