"""Examples on two nodes of the real Slurm: one command, the same facts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from examples.facts import EXAMPLES, FACTS, FEWER, ON_SLURM

from on_slurm.runs import SMALL, Runs

ALL = os.environ.get("EXAMPLES_ON")
"""Set by `make examples`."""


@pytest.mark.parametrize("name", FACTS if ALL else ON_SLURM)
def test_an_example_on_two_nodes(runs: Runs, name: str) -> None:
    spec = str(EXAMPLES / name / "spec.yaml")
    resources = f"resources={json.dumps({**SMALL, 'nodes': 2})}"
    fewer = [] if ALL else FEWER.get(name, [])
    done = runs.command("run", spec, "--cluster", "slurm", "--set", resources, *fewer)
    assert done.returncode == 0, done.output
    runs.assert_nothing_left()
    status, attempt = runs.status(), runs.attempt()
    assert (status["state"], sorted(status["nodes"])) == ("completed", ["n1", "n2"])
    progress = json.loads((attempt / "progress.json").read_text())
    FACTS[name](Path(status["paths"]["outputs"]), progress, attempt / "failures.jsonl")
    assert progress["object_store"]["capacity_bytes"] > 0
