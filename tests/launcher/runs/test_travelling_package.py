"""Packages beside run directories: shared by runs, and removed when none leads there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.travelling_package import FOLDER, LINK, give_package, remove_unused

DAY_S = 86400.0


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    root = tmp_path / "demo" / "20261130-010203-abcd"
    root.mkdir(parents=True)
    return RunPaths(root)


def packages(run: RunPaths) -> list[str]:
    folder = run.root.parent / FOLDER
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def given(run: RunPaths, *, days_ago: float = 0.0) -> Path:
    give_package(run)
    folder = (run.root / LINK).resolve()
    moment = folder.stat().st_mtime - days_ago * DAY_S
    os.utime(folder, (moment, moment))
    return folder


def test_a_package_stays_as_long_as_a_run_leads_there(run: RunPaths) -> None:
    folder = given(run, days_ago=30)
    now = folder.stat().st_mtime + 30 * DAY_S
    remove_unused(run.root.parent, now)
    assert packages(run) == [folder.name]
    (run.root / LINK).unlink()
    remove_unused(run.root.parent, now)
    assert packages(run) == []
    assert not (run.root.parent / FOLDER).exists()


def test_one_that_was_just_given_stays_because_its_run_may_be_about_to_be_made(run: RunPaths) -> None:
    folder = given(run, days_ago=30)
    now = folder.stat().st_mtime + 30 * DAY_S
    (run.root / LINK).unlink()
    given(run)  # found, and touched
    (run.root / LINK).unlink()
    remove_unused(run.root.parent, now)
    assert packages(run) == [folder.name]


def test_what_was_left_half_made_or_half_removed_goes_too(run: RunPaths) -> None:
    folder = given(run)
    now = folder.stat().st_mtime
    for name in (".new-abcd", ".removing-0123"):
        left = folder.with_name(name)
        (left / "curator_slurm").mkdir(parents=True)
        os.utime(left, (now - 2 * DAY_S, now - 2 * DAY_S))
    remove_unused(run.root.parent, now)
    assert packages(run) == [folder.name]


def test_a_package_that_the_site_has_deleted_is_made_again(run: RunPaths) -> None:
    folder = given(run)
    folder.rename(folder.with_name("elsewhere"))
    give_package(run)
    assert (run.root / LINK / "curator_slurm" / "__init__.py").is_file()
