"""What the actor pool's driver knows of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curator_slurm.executors import DocumentBatch, FileGroupTask, Task
from curator_slurm.executors.backends.ray_actor_pool.data import is_plain


@pytest.mark.parametrize(
    "task",
    [Task("d", b"bytes"), Task("d", 1), Task("d", None), Task("d", {"a": ["x", 1.5]}), FileGroupTask("d", ["a", "b"])],
)
def test_tasks_of_plain_values_need_no_copy(task: Task[object]) -> None:
    task.add_stage_perf(object())
    assert is_plain(task)


def test_tasks_with_arrays_tables_or_unknown_objects_do() -> None:
    plain = Task("d", 1)
    plain._metadata["vector"] = np.zeros(3)
    assert not is_plain(plain)
    assert not is_plain(Task("d", np.zeros(3)))
    assert not is_plain(Task("d", {"a": [np.zeros(3)]}))
    assert not is_plain(Task("d", bytearray(3)))
    assert not is_plain(DocumentBatch("d", pa.table({"a": [1]})))
    assert not is_plain(DocumentBatch("d", pd.DataFrame({"a": [1]})))
    assert not is_plain(Task("d", object()))
