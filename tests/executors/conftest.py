"""Rays that tests share: to start and end one costs seconds of both CPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_nodes import RayNodes, start_nodes
from xenna_ray import TestRay, start_ray


@pytest.fixture(scope="session")
def two_cpus() -> Iterator[TestRay]:
    """For all tests that break workers at most, and look for what they have left behind in it."""
    with start_ray(cpus=2) as ray:
        yield ray


@pytest.fixture(scope="session")
def nodes_beside_a_head() -> Iterator[RayNodes]:
    """A head with two CPUs; every test brings nodes of its own, and ends them."""
    with start_nodes(0, head_cpus=2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def one_cpu() -> Iterator[TestRay]:
    """The smallest one that has a CPU."""
    with start_ray(cpus=1) as ray:
        yield ray
