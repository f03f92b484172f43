"""Payloads stay out of the driver, and what waits between stages has a bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import engines
from xenna_ray import TestRay, python_path, start_ray

pytestmark = pytest.mark.ray

DRIVER = Path(__file__).parents[1] / "memory_driver.py"
STORE_MB = 160
GROWTH_MB = 190


@pytest.fixture(scope="module")
def small_store() -> Iterator[TestRay]:
    """Two CPUs and an object store that the payloads of these tests do not fit into."""
    with start_ray(cpus=2, store_mb=STORE_MB) as ray:
        yield ray


def run_driver(cluster: TestRay, backend: str, count: int, megabytes: float) -> dict[str, Any]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(DRIVER), backend, str(count), str(megabytes)],
        env={**outside, **cluster.env, "PYTHONPATH": python_path()},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["tasks"] == count
    assert found["mb"] == count * megabytes
    return found


@engines("xenna")
def test_the_drivers_memory_does_not_grow_with_the_payloads(backend: str, small_store: TestRay) -> None:
    assert_small(run_driver(small_store, backend, 40, 10))


def test_a_pipeline_makes_more_than_the_object_store_holds(small_store: TestRay) -> None:
    found = run_driver(small_store, "ray_actor_pool", 320, 4)
    assert found["mb"] > 7 * STORE_MB
    assert found["spilled_mb"] < found["mb"] / 5
    assert_small(found)


def assert_small(found: dict[str, Any]) -> None:
    """What the driver has taken more than before the run, of which much is the engine's own code, is no payload."""
    assert found["peak_mb"] < found["start_mb"] + GROWTH_MB < found["start_mb"] + found["mb"] / 2
