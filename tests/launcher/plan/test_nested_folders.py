"""A folder that a run writes to, in one that it reads: what it writes would be read by the next run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.spec.spec_file import read_string

SPEC = """\
name: demo
pipeline: {{command: "true"}}
input: {{paths: [{read}]}}
output: {{path: {written}}}
storage: {{runs: {runs}}}
"""


def warned(folder: Path, **places: str) -> list[str]:
    """The keys that are warned of."""
    (folder / "data" / "in").mkdir(parents=True)
    (folder / "data" / "in" / "a.jsonl").write_text("{}\n")
    given = {"read": "data", "written": "out", "runs": "runs"} | places
    reading = read_string(SPEC.format(**given), "spec.yaml")
    plan_of(reading, folder, Cluster.LOCAL, os.environ)
    return [each.key for each in reading.warnings()]


@pytest.mark.parametrize(
    ("places", "keys"),
    [
        ({"written": "data/out"}, ["output.path"]),
        ({"runs": "data/in/runs"}, ["storage.runs"]),
        ({"runs": "data", "written": "data/x/y"}, ["output.path", "storage.runs"]),
        ({"read": ".", "runs": "./runs", "written": "out"}, ["output.path", "storage.runs"]),
        ({"written": "data/_out", "runs": "data/.runs"}, []),
        ({"read": "data/in", "written": "data/in2"}, []),
        ({"read": '"data/in/*.jsonl"', "written": "data/in/out"}, []),
        ({}, []),
    ],
)
def test_it_is_warned_of(tmp_path: Path, places: dict[str, str], keys: list[str]) -> None:
    assert warned(tmp_path, **places) == keys
