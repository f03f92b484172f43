"""Sizes of payloads, and lists of tasks cut into parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.executors import DocumentBatch, FileGroupTask, Task
from curator_slurm.executors.run.payload import is_plain, split_evenly


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


@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 70))
def test_parts_hold_whole_batches(tasks: int, parts: int, batch: int) -> None:
    blocks = split_evenly(list(range(tasks)), parts, batch)
    assert [task for block in blocks for task in block] == list(range(tasks))
    assert len(blocks) <= parts
    assert all(len(block) and len(block) % batch == 0 for block in blocks[:-1])
