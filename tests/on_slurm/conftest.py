"""Every test here runs on the real Slurm of tests/slurm_cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster

from on_slurm.runs import Runs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture
def runs(slurm_cluster: SlurmCluster, shared_dir: Path) -> Runs:
    """`curator-slurm` as alice in a shared folder of this test."""
    return Runs(slurm_cluster, shared_dir)
