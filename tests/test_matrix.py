"""The table of `make matrix`, and what it says when an interpreter is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import engines
import matrix
import matrix_engines
import matrix_rows
import pytest
from matrix_engines import Result
from matrix_rows import Found


def row(**changes: object) -> dict[str, object]:
    plain = {"backend": "xenna", "xenna": "0.3.0", "python": "3.11", "failure": "OOM", "policy": "skip", "in": 20}
    return {**plain, "out": 19, "failed": 1, "duplicated": 0, "lost": 0, "run": "completed", **changes}


def test_rows_are_sorted_and_aligned() -> None:
    text = matrix.table([row(), row(backend="ray_data", xenna="", run="failed: a | b\n" + "x" * 80)])
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["ray_data", "xenna"]
    assert {line.count("|") for line in lines} == {len(matrix.COLUMNS) + 1}
    assert len({len(line) for line in lines}) == 1


def test_rows_of_other_cells_are_kept() -> None:
    old = [row(out=18, failed=0, lost=2), row(failure="hang")]
    page = matrix.document(old, ["date 2026-01-01, ray 2"], ["cosmos-xenna 9: no"], RESULTS)
    made_with, known, results = matrix.read_document(page)
    assert made_with == ["date 2026-01-01, ray 2"]
    assert known == old
    assert sorted(results) == sorted(RESULTS)
    assert matrix.read_document(matrix.document(old, [], [])) == ([], old, [])
    both = matrix.together(known, [row()])
    assert both == [row(failure="hang"), row()]
    assert matrix.summary(both) == "2 cells; rows lost or duplicated in 0 of them"


RESULTS = [
    Result("backends: a", "ray_data", "3.11"),
    Result("backends: a", "xenna", "0.2.0"),
    Result("backends: a", "xenna", "0.3.0", "failed"),
    Result("backends: b (c)", "xenna-batch", "0.2.0"),
]


def test_what_back_ends_have_passed_is_a_line_for_each_test() -> None:
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in matrix_engines.table(RESULTS).splitlines()]
    assert lines[2:] == [
        ["backends: a", "0.2.0, 0.3.0 failed", "-", "3.11", "-"],
        ["backends: b (c)", "-", "0.2.0", "-", "-"],
    ]
    assert matrix_engines.summary(RESULTS) == "2 tests of every back end, 4 results; not passed: 1"
    newer = matrix_engines.together(RESULTS, [Result("backends: a", "xenna", "0.3.0")])
    assert {each.outcome for each in newer} == {"passed"}
    assert len(newer) == 4


@pytest.mark.parametrize(
    ("cell", "backend", "name"),
    [
        ("tests/a/test_back_ends.py::test_all_of_it[xenna-batch]", "xenna-batch", "back ends: all of it"),
        ("tests/a/test_b.py::TestC::test_d[streamed chunks-xenna]", "xenna", "b: d (streamed chunks)"),
        ("tests/a/test_b.py::test_d[noset-ray_data]", "ray_data", "b: d (noset)"),
    ],
)
def test_a_test_has_one_name_on_all_back_ends(cell: str, backend: str, name: str) -> None:
    assert matrix_engines.test_name(cell, backend) == name


@pytest.mark.parametrize(
    ("full", "asked", "runs_on"),
    [
        (False, ["xenna", "ray_data"], ["ray_data"]),
        (True, ["xenna"], ["xenna", "xenna-batch"]),
        (True, ["xenna", "ray_data"], ["xenna", "xenna-batch", "ray_data"]),
    ],
)
def test_back_ends_of_a_test(full: bool, asked: list[str], runs_on: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "FULL", full)
    monkeypatch.setattr(engines, "ASKED", asked)

    @engines.engines("ray_data", of=engines.WITH_BATCH)
    def decorated(backend: str) -> None: ...

    marks = {mark.name: mark for mark in decorated.pytestmark}  # type: ignore[attr-defined]
    assert set(marks) == {"parametrize", "matrix"}
    assert marks["parametrize"].args == ("backend", runs_on)


def test_the_interpreter_that_runs_is_found_and_another_one_is_not() -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    assert matrix.find_python(version) is not None
    assert matrix.find_python("2.1") is None


def test_a_version_that_cannot_be_tried_fails_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(matrix, "SETTINGS", [matrix.Setting("9.9.9", "2.1", "xenna")])
    monkeypatch.setattr(sys, "argv", ["matrix.py"])
    assert matrix.main() == 1
    assert "NOT SHOWN: cosmos-xenna 9.9.9: no Python 2.1 on this machine" in capsys.readouterr().err


def asked(outcome: str, *rows: dict[str, object]) -> Found:
    cell = "tests/executors/backends/test_failure_matrix.py::test_rows_after[xenna-OOM, skip]"
    result = {"cell": cell, "outcome": outcome, "why": "too late", "rows": list(rows)}
    return Found([cell], {cell: result} if outcome else {}, {"Python": "3.11.2", "cosmos-xenna": "0.3.0"})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (asked("passed", row()), None),
        (asked("passed", row(lost=1)), "lost or duplicated in 1 of them"),
        (asked("failed", row()), "NOT SHOWN: cosmos-xenna 0.3.0: test_rows_after[xenna-OOM, skip]: failed  too late"),
        (asked("skipped"), "skipped"),
        (asked(""), "not run"),
        (Found(), "no cell matches"),
    ],
)
def test_only_a_whole_matrix_without_losses_is_a_success(
    found: Found,
    words: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(matrix, "SETTINGS", [matrix.Setting("0.3.0", "3.11", "xenna")])
    monkeypatch.setattr(matrix, "_prepare", lambda _setting: "")
    monkeypatch.setattr(matrix, "_run", lambda *_args, **_kwargs: found)
    monkeypatch.setattr(sys, "argv", ["matrix.py", f"--output={tmp_path / 'table.md'}"])
    assert matrix.main() == (0 if words is None else 1)
    printed = capsys.readouterr()
    assert (words or "1 cells; rows lost or duplicated in 0 of them") in printed.out + printed.err
    page = (tmp_path / "table.md").read_text()
    assert ("Not shown:" in page) == (words is not None and "NOT SHOWN" in printed.err)
    assert not found.asked or "Python 3.11.2, cosmos-xenna 0.3.0" in page


def test_a_run_that_was_ended_is_gone_on_with(tmp_path: Path) -> None:
    cells = tmp_path / "test_cells.py"
    cells.write_text(
        "import os, pytest\n"
        "def test_good(record_property):\n"
        "    record_property('row of the failure matrix', {'lost': 0})\n"
        "def test_bad(): assert os.environ.get('MENDED')\n"
        "@pytest.fixture\n"
        "def untidy():\n"
        "    yield\n"
        "    assert os.environ.get('MENDED'), 'left over'\n"
        "def test_leaves_something(untidy): pass\n"
        "@pytest.mark.parametrize('backend', [])\n"
        "def test_for_nobody(backend): pass\n"
        "@pytest.mark.parametrize('backend', ['xenna'])\n"
        "def test_no_row(backend): pass\n"
    )
    results = tmp_path / "results.jsonl"

    def run(**more: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(Path(matrix.__file__).parent), matrix_rows.RESULTS: str(results), **more}
        command = [sys.executable, "-m", "pytest", "-p", "matrix_rows", "-p", "no:cacheprovider", str(cells)]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True).stdout

    run()
    found = matrix_rows.read(results)
    assert [cell.rpartition("::")[2] for cell in found.asked] == [
        "test_good",
        "test_bad",
        "test_leaves_something",
        "test_no_row[xenna]",
    ]
    assert found.passed == {found.asked[0], found.asked[3]}
    setting = matrix.Setting("0.3.0", "3.11", "xenna")
    assert matrix.engine_results(found, setting) == [Result("cells: no row", "xenna", "0.3.0")]
    assert found.cells[found.asked[0]]["rows"] == [{"lost": 0}]
    assert [line.partition(":")[0] for line in matrix.not_shown(found)] == ["test_bad", "test_leaves_something"]

    with results.open("a") as file:
        file.write('\n{"cell": "cut o')  # killed while it wrote
    assert "5 deselected" in run(MENDED="1", **{matrix_rows.KEEP: matrix_rows.ALL})
    assert matrix.not_shown(matrix_rows.read(results)) == matrix.not_shown(found)
    printed = run(MENDED="1", **{matrix_rows.KEEP: matrix_rows.PASSED})
    assert "2 passed" in printed
    found = matrix_rows.read(results)
    assert matrix.not_shown(found) == []
    assert len(found.asked) == 4
