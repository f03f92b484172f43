"""Records of an attempt as they may be found."""

from __future__ import annotations

import json
from pathlib import Path

import damage
import pytest

from curator_slurm.launcher.runs.attempt_records import read_ending
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

ENDING = {"state": "cancelled", "message": "x", "exit_code": 143, "started": 1.0, "nodes": ["n1"]}


def test_an_ending(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path, RunPaths(tmp_path))
    assert read_ending(paths) is None
    paths.ending.write_text(json.dumps(ENDING))
    ending = read_ending(paths)
    assert ending is not None
    assert (ending.exit_code, ending.provisional) == (143, True)


@pytest.mark.parametrize("kind", damage.VALUES)
def test_an_ending_that_is_damaged_is_none(tmp_path: Path, kind: str) -> None:
    paths = ClusterPaths(tmp_path, RunPaths(tmp_path))
    paths.ending.write_text(json.dumps(ENDING))
    assert damage.replace_values(paths.ending, kind, keep=("state",))
    assert read_ending(paths) is None
