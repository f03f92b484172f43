"""The table of `make matrix`, and what it says when an interpreter is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import matrix
import pytest


def row(**changes: object) -> dict[str, object]:
    plain = {"backend": "xenna", "xenna": "0.3.0", "failure": "OOM", "policy": "skip", "in": 20, "out": 19, "failed": 1}
    return {**plain, "duplicated": 0, "lost": 0, "run": "completed", **changes}


def test_rows_are_sorted_and_aligned() -> None:
    text = matrix.table([row(), row(backend="ray_data", xenna="", run="failed: a | b\n" + "x" * 80)])
    lines = text.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["ray_data", "xenna"]
    assert {line.count("|") for line in lines} == {len(matrix.COLUMNS) + 1}
    assert len({len(line) for line in lines}) == 1


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


def test_a_lost_row_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(matrix, "SETTINGS", [matrix.Setting("0.3.0", "3.11", "xenna")])
    monkeypatch.setattr(matrix, "_prepare", lambda _setting: "")
    monkeypatch.setattr(sys, "argv", ["matrix.py"])
    for lost, code in ((0, 0), (1, 1)):
        rows = [row(lost=lost)]
        monkeypatch.setattr(matrix, "_run", lambda *_args, rows=rows, **_kwargs: (rows, 0))
        assert matrix.main() == code
    assert "rows lost or duplicated in 1 of them" in capsys.readouterr().out
