"""With how many actors the pools of RayDataExecutor begin."""

from __future__ import annotations

import pytest

from curator_slurm.executors.backends.ray_data.pool_sizes import PoolNeed, PoolSize, initial_sizes, pool_sizes
from curator_slurm.executors.run.placement import ClusterNode, Need

CPU, GPU = Need(1, 0), Need(1, 1)
FOUR = [ClusterNode(str(index), 4) for index in range(4)]
GPUS = [ClusterNode(str(index), 4, 2) for index in range(4)]


@pytest.mark.parametrize(
    ("nodes", "pools", "expected"),
    [
        (FOUR, [PoolNeed(CPU)], [16]),
        (FOUR, [PoolNeed(CPU, batches=3)], [3]),  # a small job runs on few workers
        (FOUR, [PoolNeed(CPU, most=5)], [5]),
        (FOUR, [PoolNeed(CPU, least=7, batches=3)], [7]),  # the user has said so
        (FOUR, [PoolNeed(CPU, initial=3, batches=9), PoolNeed(CPU)], [3, 13]),
        (FOUR, [PoolNeed(CPU, fixed=2), PoolNeed(CPU)], [2, 14]),
        (FOUR, [PoolNeed(CPU), PoolNeed(CPU)], [8, 8]),
        (FOUR, [PoolNeed(CPU, is_actor=False), PoolNeed(CPU), PoolNeed(CPU, is_actor=False)], [6, 5, 5]),
        (FOUR, [PoolNeed(Need(0.25, 0)), PoolNeed(CPU)], [32, 8]),  # the same share of the CPUs
        (FOUR, [PoolNeed(Need(3, 0))], [4]),  # the fourth CPU of each node is of no use
        (FOUR, [PoolNeed(Need(0, 0)), PoolNeed(CPU)], [1, 16]),
        (GPUS, [PoolNeed(CPU), PoolNeed(GPU), PoolNeed(CPU)], [4, 8, 4]),
        (GPUS, [PoolNeed(CPU), PoolNeed(GPU), PoolNeed(GPU)], [8, 4, 4]),
        (GPUS, [PoolNeed(CPU), PoolNeed(Need(1, 0.5))], [1, 15]),
        ([ClusterNode("a", 4, 4)], [PoolNeed(CPU), PoolNeed(GPU)], [1, 3]),  # GPUs leave a CPU to the others
        ([ClusterNode("a", 1)], [PoolNeed(CPU), PoolNeed(CPU)], [1, 1]),  # Ray Data lets them take turns
        ([], [PoolNeed(CPU)], [1]),
    ],
)
def test_pools_fill_the_nodes_from_the_start(
    nodes: list[ClusterNode], pools: list[PoolNeed], expected: list[int]
) -> None:
    found = initial_sizes(pools, nodes)
    assert found == expected


def test_a_stage_without_gpus_goes_where_there_are_none() -> None:
    nodes = [ClusterNode("gpu", 4, 4), ClusterNode("cpu", 4)]
    assert initial_sizes([PoolNeed(CPU), PoolNeed(GPU)], nodes) == [4, 4]


@pytest.mark.parametrize(
    ("pools", "sizes"),
    [
        ([PoolNeed(CPU), PoolNeed(GPU)], [PoolSize(8, 1), PoolSize(8, 8)]),
        ([PoolNeed(GPU)], [PoolSize(8, 8)]),
        ([PoolNeed(CPU), PoolNeed(GPU), PoolNeed(GPU)], [PoolSize(8, 1), PoolSize(4, 1), PoolSize(4, 1)]),
        ([PoolNeed(CPU), PoolNeed(Need(1, 0.5))], [PoolSize(1, 1), PoolSize(15, 1)]),  # no CPU left where they are
        ([PoolNeed(CPU), PoolNeed(GPU), PoolNeed(CPU)], [PoolSize(4, 1), PoolSize(8, 8), PoolSize(4, 1)]),
        ([*[PoolNeed(CPU)] * 3, PoolNeed(GPU)], [PoolSize(3, 1), PoolSize(3, 1), PoolSize(2, 1), PoolSize(8, 1)]),
        ([PoolNeed(CPU), PoolNeed(GPU, initial=2, least=1)], [PoolSize(14, 1), PoolSize(2, 2)]),
        ([PoolNeed(CPU, is_actor=False), PoolNeed(GPU, fixed=2)], [PoolSize(14, 1), PoolSize(2, 2)]),
    ],
)
def test_a_stage_that_has_the_gpus_to_itself_keeps_its_workers(pools: list[PoolNeed], sizes: list[PoolSize]) -> None:
    assert pool_sizes(pools, GPUS) == sizes
