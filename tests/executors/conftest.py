"""Rays that tests share: to start and end one costs seconds of both CPUs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xenna_ray import TestRay, start_ray


@pytest.fixture(scope="session")
def two_cpus() -> Iterator[TestRay]:
    """For all tests that break workers at most, and look for what they have left behind in it."""
    with start_ray(cpus=2) as ray:
        yield ray


@pytest.fixture(scope="module")
def one_cpu() -> Iterator[TestRay]:
    """The smallest one that has a CPU."""
    with start_ray(cpus=1) as ray:
        yield ray
