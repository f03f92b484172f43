"""Tasks as rows of Ray Data's blocks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from xenna_stages import Number

from curator_slurm.executors import Task
from curator_slurm.executors.backends.ray_data import rows
from curator_slurm.executors.backends.ray_data.rows import COLUMN, to_table, to_tasks


def local_class(limit: int = 1) -> type:
    @dataclass
    class Local(Task[str]):
        limit_of_class = limit

        def shout(self) -> str:
            return self.data.upper()

    return Local


def test_rows_can_be_cut_anywhere() -> None:
    table = to_table([Number("numbers", value) for value in range(10)])
    assert [task.data for task in to_tasks(table.slice(3, 4))] == [3, 4, 5, 6]
    assert to_tasks(to_table([])) == []


def test_a_class_that_goes_by_value_is_pickled_once_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    dumped = []
    real = rows.cloudpickle.dumps
    monkeypatch.setattr(rows.cloudpickle, "dumps", lambda value: dumped.append(value) or real(value))
    local = local_class()
    to_table([local("locals", str(index)) for index in range(20)])
    assert dumped == [local]
    to_table([Number("numbers", index) for index in range(20)])
    assert dumped == [local]


def test_each_block_has_the_class_as_it_is_by_then() -> None:
    local = local_class()
    before = to_table([local("locals", "a")])
    local.limit_of_class = 2
    after = to_table([local("locals", "a")])
    assert before.column(COLUMN) != after.column(COLUMN)
    assert to_tasks(after)[0].limit_of_class == 2


def test_another_process_gets_classes_functions_and_data(tmp_path: Path) -> None:
    import pyarrow as pa

    local = local_class()
    tasks = [local("locals", word) for word in ("a", "b")]
    for task in tasks:
        task._metadata["scale"] = lambda value: value * 3
    table = to_table(tasks)
    with pa.OSFile(str(tmp_path / "rows"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    code = """
import sys, pyarrow as pa
from curator_slurm.executors.backends.ray_data.rows import to_tasks
first, second = to_tasks(pa.ipc.open_file(sys.argv[1]).read_all())
print(type(first) is type(second), first.shout(), second.shout(), first._metadata["scale"](2), first.limit_of_class)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "rows")], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "A", "B", "6", "1"], done.stderr
