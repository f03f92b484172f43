"""The page of `make faults`: rows of other cells stay, and what nobody has run is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fault_cells
import fault_table
import matrix_rows
import pytest
from fault_cells import ARRAY, BATCH, NOTHING, ONE_RUN
from matrix_rows import Found


def row(fault: str = "time limit", **changes: Any) -> fault_table.Row:
    plain = {"fault": fault, "run": ONE_RUN, "executor": "xenna", "ended": "by itself", "restarts": 1, "rows lost": 0}
    return {**plain, "rows twice": 0, "sources twice": 2, "seconds": 90, "processes": 0, "jobs": 0, **changes}


def test_cells_have_names_of_their_own() -> None:
    found = fault_cells.cells()
    assert len({cell.name for cell in found}) == len({cell.key for cell in found}) == len(found)
    assert {cell.kind for cell in found} == {ONE_RUN, ARRAY}
    batch = [cell.fault.name for cell in found if cell.executor == BATCH]
    assert "preemption, GraceTime 0" in batch
    assert "slurmd restarted" not in batch


def test_a_page_says_what_was_run_and_what_was_not() -> None:
    rows = fault_table.together([], [row(), row(NOTHING.name, seconds=40), row("kill -9 of srun", run=ARRAY)])
    assert [(each["fault"], each["seconds lost"]) for each in rows] == [
        ("nothing", "0"),
        ("time limit", "50"),
        ("kill -9 of srun", "?"),
    ]
    text = fault_table.page(rows, ["date 2026-01-01, ray 2"])
    assert fault_table.read_page(text) == (["date 2026-01-01, ray 2"], rows)
    assert f"3 of {len(fault_cells.cells())} cells were run" in text
    assert "- time limit: one run (ray_actor_pool, ray_data, xenna batch); array of 12 (" in text


def test_newer_results_take_the_place_of_older_ones() -> None:
    known = fault_table.together([], [row(), row("scontrol requeue")])
    both = fault_table.together(known, [row(**{"rows lost": 3})])
    assert [(each["fault"], each["rows lost"]) for each in both] == [("time limit", 3), ("scontrol requeue", 0)]
    assert [each["fault"] for each in fault_table.bad(both)] == ["time limit"]


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        ({"outcome": "passed", "rows": [row()]}, 0, "1 of "),
        ({"outcome": "failed", "why": "AssertionError", "rows": [row(jobs=1)]}, 1, "something left in 1 of them"),
        ({"outcome": "failed", "why": "no Slurm", "rows": []}, 1, "no Slurm"),
    ],
)
def test_the_command(
    result: dict[str, Any],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cell = {"cell": "tests/a.py::test_a_fault[time-limit]", "why": "", **result}
    monkeypatch.setattr(matrix_rows, "read", lambda _: Found([], {"a": cell}, {"date": "2026-01-01", "ray": "2"}))
    monkeypatch.setattr(sys, "argv", ["fault_table.py", "--show", f"--output={tmp_path / 'page.md'}"])
    assert fault_table.main() == code
    printed = capsys.readouterr()
    assert words in printed.out + printed.err
    made_with, rows = fault_table.read_page((tmp_path / "page.md").read_text())
    assert made_with == ["date 2026-01-01, ray 2"]
    assert len(rows) == len(result["rows"])
