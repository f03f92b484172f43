"""The verb `report`: what it writes where, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import reported_runs
import run_dirs
from click.testing import CliRunner, Result

from curator_slurm.launcher.cli import _show_report, main
from curator_slurm.launcher.report import make_report
from curator_slurm.launcher.runs.registry import Run

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return reported_runs.measured_run(tmp_path)


def report(run: Run, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", str(run.paths.root), *arguments])


def test_the_page_lies_in_the_run_directory(run: Run) -> None:
    result = report(run)
    assert result.exit_code == 0, result.output
    assert result.output.split() == [str(run.paths.report)]
    assert run.paths.report.read_text().startswith("<!DOCTYPE html>")
    assert run.paths.report.stat().st_mode & 0o777 == 0o600


def test_or_where_it_is_wanted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or False)
    result = report(run, "--output", str(tmp_path / "my page.html"), "--open")
    assert result.exit_code == 0
    assert opened == [(tmp_path / "my page.html").as_uri()]
    assert "No browser" in result.stderr
    assert not run.paths.report.exists()


def test_json_alone_writes_no_page(run: Run) -> None:
    assert report(run, "--json").exit_code == 0
    assert not run.paths.report.exists()


def test_nothing_is_written_into_the_run_of_somebody_else(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(make_report, "is_own", lambda path: False)
    result = report(run)
    assert result.exit_code == 2
    assert "--output" in result.output
    assert report(run, "--output", str(tmp_path / "page.html")).exit_code == 0


def test_measurements_as_parquet(run: Run, tmp_path: Path) -> None:
    result = report(run, "--export", str(tmp_path / "metrics.parquet"))
    assert result.exit_code == 0, result.output
    table = pq.read_table(tmp_path / "metrics.parquet").to_pandas()
    assert dict(table.groupby("kind").size()) == {"node": 60, "stage": 93}
    assert set(table[table.kind == "node"].cpus_job) == {3.0}
    assert table[table.kind == "stage"].shard.unique() == [0]
    last = table[(table.stage == "reader") & table.task_seconds.notna()]
    assert [dict(each) for each in last.task_seconds] == [{"0.5": 50, "2": 10}]


def test_nothing_measured_is_no_file(tmp_path: Path) -> None:
    run = run_dirs.new_run(tmp_path)
    result = report(run, "--export", str(tmp_path / "metrics.parquet"))
    assert result.exit_code == 2
    assert "nothing was measured" in result.output
    assert os.listdir(tmp_path) == ["runs"] or not (tmp_path / "metrics.parquet").exists()  # noqa: PTH208


def test_export_stands_alone(run: Run) -> None:
    assert report(run, "--export", "x", "--json").exit_code == 2


def test_watch_leaves_a_report_and_storage_that_refuses_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["watch", str(run.paths.root)])
    assert result.exit_code == 0, result.output
    assert f"Report     {run.paths.report}" in result.output
    assert run.paths.report.exists()

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device", str(run.paths.report))

    monkeypatch.setattr(_show_report, "write_page", refuse)
    result = CliRunner().invoke(main, ["watch", str(run.paths.root)])
    assert result.exit_code == 0
    assert "no report was written" in result.output
