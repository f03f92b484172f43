"""Warnings before a site deletes the files of a run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from run_dirs import new_run

from curator_slurm.launcher.runs.purge import DAY_S, purge_warning
from curator_slurm.launcher.runs.registry import Run

NOW = 1_900_000_000.0


def run_of(folder: Path, days: int | None) -> Run:
    run = new_run(folder)
    assert run.record is not None
    return replace(run, record=replace(run.record, purge_days=days))


def use_all(run: Run, days_ago: float, *, read_days_ago: float | None = None) -> None:
    written = NOW - days_ago * DAY_S
    read = written if read_days_ago is None else NOW - read_days_ago * DAY_S
    for path in [path for path in run.paths.root.rglob("*") if path.is_file()]:
        os.utime(path, (read, written))


@pytest.mark.parametrize(
    ("days", "ago", "words"),
    [
        (90, 10, ""),
        (90, 75, ""),
        (90, 77, "used 77 days ago: its files may be deleted in 13 days"),
        (90, 95, "may be deleted from now on"),
        (40, 29, ""),
        (40, 31, "in 9 days"),
        (None, 1000, ""),
    ],
)
def test_a_warning_comes_two_weeks_before_or_in_the_last_quarter(
    tmp_path: Path, days: int | None, ago: float, words: str
) -> None:
    run = run_of(tmp_path, days)
    use_all(run, ago)
    said = purge_warning(run, [], NOW)
    assert words in said
    assert bool(said) == bool(words)


def test_reading_a_file_is_a_use_of_it_and_the_oldest_file_counts(tmp_path: Path) -> None:
    run = run_of(tmp_path, 40)
    use_all(run, 100, read_days_ago=1)
    assert purge_warning(run, [], NOW) == ""
    os.utime(run.paths.spec, (NOW - 35 * DAY_S, NOW - 35 * DAY_S))
    assert "spec.yaml of this run was used 35 days ago" in purge_warning(run, [], NOW)


def test_of_thousands_of_done_records_a_few_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, 40)
    use_all(run, 1)
    for shard in (0, 50):
        run.paths.done(shard).write_text("{}")
        os.utime(run.paths.done(shard), (NOW - 36 * DAY_S, NOW - 36 * DAY_S))
    looked_at = []
    stat = Path.stat

    def counted(self: Path, **options: bool) -> os.stat_result:
        looked_at.append(self)
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", counted)
    assert "00000.done.json of this run" in purge_warning(run, range(100), NOW)
    assert len(looked_at) <= 13
