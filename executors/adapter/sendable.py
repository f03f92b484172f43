"""Whether a task can be sent to another process; checked in the worker of the stage that returned it."""

from __future__ import annotations

import pickle
from typing import Any

_PLAIN = (str, bytes, bytearray, int, float, bool, type(None))
_RECORDS = "_stage_perf"
"""Performance records, which the adapter makes itself."""
_TRUSTED = {("pyarrow.lib", "Table"), ("pandas.core.frame", "DataFrame"), ("pandas", "DataFrame"), ("numpy", "ndarray")}


def check_sendable(task: Any) -> None:
    """Raise TypeError for a task that cannot be pickled.

    Tables, frames and plain values are not checked, because pickling them costs as much as sending them: should one of
    them not be sendable after all, the run fails with Ray's error.
    """
    fields = getattr(task, "__dict__", {"": task})
    if all(_is_plain(value) for name, value in fields.items() if name != _RECORDS):
        return
    from ray import cloudpickle  # not with the module: stages are imported where Ray is not needed

    try:
        cloudpickle.dumps(task, protocol=5, buffer_callback=_leave_out)
    except Exception as error:
        raise TypeError(f"the stage returned a task that cannot be sent to another process: {error}") from error


def _leave_out(_buffer: pickle.PickleBuffer) -> bool:
    """Large buffers are not copied: they are never the problem."""
    return False


def _is_plain(value: Any) -> bool:
    if isinstance(value, _PLAIN) or (type(value).__module__, type(value).__name__) in _TRUSTED:
        return True
    if isinstance(value, (list, tuple)):
        return all(isinstance(part, _PLAIN) for part in value)
    if isinstance(value, dict):
        return all(isinstance(part, _PLAIN) for part in value.values())
    return False
