"""Tasks as they were before a stage changed them."""

from __future__ import annotations

import pickle
from typing import Any


class Snapshot:
    """Keeps a list of tasks; large buffers (Arrow, NumPy) are shared with the originals, not copied.

    Buffers that come from Ray's object store are read-only, so sharing them is safe there.
    """

    def __init__(self, tasks: list[Any]) -> None:
        from ray import cloudpickle  # not with the module: stages are imported where Ray is not needed

        self._buffers: list[pickle.PickleBuffer] = []
        self._bytes: bytes = cloudpickle.dumps(tasks, protocol=5, buffer_callback=self._keep)

    def _keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Share read-only buffers; False tells pickle to leave the buffer out of the stream."""
        if not memoryview(buffer).readonly:
            return True
        self._buffers.append(buffer)
        return False

    def restore(self) -> list[Any]:
        """A fresh copy of the tasks at every call."""
        tasks: list[Any] = pickle.loads(self._bytes, buffers=self._buffers)
        return tasks
