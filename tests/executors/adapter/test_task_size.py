"""Bytes of tasks: estimates that cost a small share of the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curator_slurm.executors import DocumentBatch, ProcessingStage, Task
from curator_slurm.executors.adapter import task_size
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.task_size import Weigher, size_of


class Half(ProcessingStage[Any, Any]):
    """The first half of each array."""

    name = "half"
    batch_size = 2

    def process(self, task: Any) -> Any:
        return Task("d", task.data[: len(task.data) // 2])


def test_bytes_in_and_out_are_in_the_report() -> None:
    _, report = StageAdapter(Half()).process([Task("d", np.zeros(1000)), Task("d", np.zeros(3000))])
    assert report.bytes_in == pytest.approx(32_000, rel=0.05)
    assert report.bytes_out == pytest.approx(16_000, rel=0.05)


@pytest.mark.parametrize("arrow", [True, False])
def test_documents_take_what_their_text_takes(arrow: bool) -> None:
    columns = {"text": ["x" * 10_000] * 50}
    task = DocumentBatch("d", pa.table(columns) if arrow else pd.DataFrame(columns))
    assert size_of(task) == pytest.approx(500_000, rel=0.05)


def test_where_looking_costs_too_much_the_rest_counts_like_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looked = [0.0], []

    def slow(tasks: Any) -> int:
        now[0] += 1.0
        looked.append(len(tasks))
        return 100 * len(tasks)

    monkeypatch.setattr(task_size, "size_of", slow)
    monkeypatch.setattr(task_size.time, "perf_counter", lambda: now[0])
    weigher = Weigher()
    assert weigher([], 0) == 0
    assert weigher([1, 2], 20) == 200
    weigher.worked(100.0)
    assert weigher([1], 7) == 70  # 1 s of 100 s
    assert looked == [2]
    weigher.worked(500.0)
    assert weigher([1], 7) == 100
    assert looked == [2, 1]
