"""Every test here runs on the real Slurm of tests/slurm_cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Options, SlurmCluster
from slurm_cluster.api import this_session
from slurm_cluster.layout import default_directory

from on_slurm.contained_runs import make_ready_for_podman
from on_slurm.runs import Runs

ASKED_FOR_ONLY = ("chaos", "containers", "doctor", "faults", "scale", "screenshots", "shapes", "staging", "stalls")
"""Markers of tests that run for so long that one must name them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before `selection` asks what kind of test each is."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slurm)
    unasked = [marker for marker in ASKED_FOR_ONLY if marker not in config.option.markexpr]
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def runs(slurm_cluster: SlurmCluster, shared_dir: Path) -> Runs:
    """`curator-slurm` as alice in a shared folder of this test."""
    return Runs(slurm_cluster, shared_dir)


@pytest.fixture(scope="module")
def array_cluster(request: pytest.FixtureRequest) -> Iterator[SlurmCluster]:
    """A cluster of its own with MAX_ARRAY_SIZE of the module, and NODES, CPUS, CONF if it has them; no accounting."""
    cluster = SlurmCluster(f"{default_directory()}-a{request.module.MAX_ARRAY_SIZE}-{os.getpid()}")
    options = Options(
        nodes=getattr(request.module, "NODES", Options.nodes),
        cpus=getattr(request.module, "CPUS", Options.cpus),
        max_array=request.module.MAX_ARRAY_SIZE,
        accounting=False,
        conf=("KillWait=10", *getattr(request.module, "CONF", ())),
    )
    cluster.up(options, owner=this_session(), fresh=True)
    try:
        yield cluster
    finally:
        cluster.down(purge=not request.session.testsfailed)


@pytest.fixture
def array_runs(array_cluster: SlurmCluster, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """`curator-slurm` as alice on that cluster."""
    folder = array_cluster.shared / request.node.name.replace("[", "-").strip("]")
    folder.mkdir()
    os.chown(folder, array_cluster.uid(), array_cluster.uid())
    yield Runs(array_cluster, folder)
    array_cluster.heal()


@pytest.fixture
def ready_for_podman(slurm_cluster: SlurmCluster) -> None:
    """Nodes as administrators prepare them for it."""
    make_ready_for_podman(slurm_cluster)
