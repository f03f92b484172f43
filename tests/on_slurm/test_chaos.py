"""`make chaos SEED=n`: 40 shards, six elements of two nodes at once, minutes of killing, `retry` until done."""

from __future__ import annotations

import os

import pytest
from slurm_cluster import SlurmCluster

from on_slurm.chaos import CPUS as CPUS
from on_slurm.chaos import NODES as NODES
from on_slurm.chaos import Rows, specs, survive, without_disorder
from on_slurm.runs import Runs

MAX_ARRAY_SIZE = 1001
KINDS = specs(shards=40, rayed=4, pause=0.08)
SECONDS = float(os.environ.get("SECONDS_OF_CHAOS", "240"))


@pytest.fixture(scope="module")
def wanted(array_cluster: SlurmCluster) -> Rows:
    return without_disorder(array_cluster, KINDS)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", os.environ.get("SEED", "1").replace(",", " ").split())
def test_rows_are_there_once_whatever_dies(
    array_cluster: SlurmCluster, array_runs: Runs, wanted: Rows, seed: str
) -> None:
    print(survive(array_cluster, array_runs, KINDS, wanted, int(seed), SECONDS))
