"""What a run asks of shared storage stays within the budget that the docs state, however many nodes it has."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

BUDGET = {"join": 600, "run": 350, "end": 600}
"""Operations in a second, of all nodes together: docs/how-to/large-clusters.md."""
PAGE = "docs/how-to/large-clusters.md"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("_operations", REPOSITORY / "benchmarks/storage_operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("nodes", [10, 100, 1000])
def test_operations_in_a_second(benchmark: Any, nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = {phase: sum(pair) for phase, pair in benchmark.operations(nodes).items()}
    assert set(found) == set(BUDGET)
    over = {phase: figure for phase, figure in found.items() if not 0 < figure <= BUDGET[phase]}
    assert over == {}


def test_the_budget_is_what_the_docs_say() -> None:
    text = " ".join((REPOSITORY / PAGE).read_text().split())
    assert f"at most {BUDGET['run']} operations per second while it runs" in text
    assert f"{BUDGET['join']} while nodes join or leave" in text
