"""How many workers each stage of the actor pool should have."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.executors.backends.ray_actor_pool.demand import targets_of
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.shares import Load, finish_s, shares
from curator_slurm.executors.run.placement import Need

CPU, GPU = Need(1, 0), Need(1, 1)
SIXTEEN = Need(16, 8)


def load(batches: float, batch_s: float | None = None, need: Need = CPU, **more: Any) -> Load:
    return Load(need, batches, batch_s, **more)


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([load(640, 0.25)], [16]),
        ([load(640)], [16]),
        ([load(320, 0.05), load(320, 0.45)], [2, 14]),
        ([load(320), load(320)], [8, 8]),
        ([load(320, 0.1), load(320, 0.3)], [4, 12]),
        ([load(320, 0.05), load(320, waits=True)], [15, 1]),
        ([load(320, 0.2), load(320, 0.2, GPU)], [8, 8]),
        ([load(320), load(320, need=GPU), load(320)], [4, 8, 4]),
        ([load(320), load(3, need=GPU)], [13, 3]),
        ([load(320, 5.0), load(320, need=GPU), load(320, need=GPU)], [8, 4, 4]),
        ([load(10, 0.001)], [1]),
        ([load(10, 1.0, startup_s=2.0)], [5]),
        ([load(320, 1.0, most=3), load(320, 1.0)], [3, 13]),
        ([load(320, 1.0), load(0, 1.0, least=4)], [12, 4]),
        ([load(320, 1.0, least=20)], [20]),
        ([load(100, 1.0, Need(0, 0), most=16), load(320, 1.0)], [16, 16]),
    ],
)
def test_workers_are_where_the_work_is(loads: list[Load], expected: list[int]) -> None:
    assert shares(loads, SIXTEEN) == expected


LOADS = st.builds(
    Load,
    need=st.builds(Need, st.sampled_from([0.0, 0.25, 1.0, 3.0]), st.sampled_from([0.0, 0.0, 0.5, 1.0])),
    batches=st.sampled_from([0.0, 1.0, 7.0, 500.0, 1e7]),
    batch_s=st.sampled_from([None, 1e-5, 0.1, 3.0, 1e4]),
    startup_s=st.sampled_from([0.5, 20.0, 600.0]),
    least=st.integers(0, 3),
    most=st.integers(3, 100),
    waits=st.booleans(),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(LOADS, max_size=6), st.sampled_from([1.0, 16.0, 1000.0]), st.sampled_from([0.0, 8.0]))
def test_shares_keep_to_the_room_and_the_limits(loads: list[Load], cpus: float, gpus: float) -> None:
    counts = shares(loads, Need(cpus, gpus))
    for found, given_load in zip(counts, loads, strict=True):
        assert given_load.least <= found <= max(given_load.most, given_load.least)
        assert found <= max(given_load.least, math.ceil(given_load.batches))
    taken = [
        sum(getattr(entry.need, kind) * count for entry, count in zip(loads, counts, strict=True))
        for kind in ("cpus", "gpus")
    ]
    least = [sum(getattr(entry.need, kind) * entry.least for entry in loads) for kind in ("cpus", "gpus")]
    if least[0] <= cpus and least[1] <= gpus:
        assert taken[0] <= cpus * 1.001
        assert taken[1] <= gpus * 1.001
    else:
        assert counts == [entry.least for entry in loads]


def test_more_workers_are_through_sooner_unless_they_come_too_late() -> None:
    assert finish_s(load(100, 1.0), 10) == 10
    assert finish_s(load(100, 1.0, startup_s=4.0), 10, 10) == 7
    assert finish_s(load(100, 1.0, startup_s=40.0), 10, 10) > 10
    assert finish_s(load(100, 1.0), 0) == math.inf
    assert finish_s(load(100), 0) == 0


def test_stages_of_a_group_share_its_nodes_and_the_others_what_is_left() -> None:
    nodes = Nodes(
        lambda: [
            {"NodeID": name, "Alive": True, "Resources": {"CPU": cpus}, "Labels": {GROUP_LABEL: name}}
            for name, cpus in (("small", 4), ("large", 12))
        ]
    )
    stages = [SimpleNamespace(need=Need(1, 0, group)) for group in ("small", "small", None, "large")]
    loads = [Load(Need(1, 0), batches=1000, batch_s=each) for each in (1.0, 3.0, 1.0, 2.0)]
    counts = targets_of(stages, loads, nodes)  # type: ignore[arg-type]
    assert counts[:2] == [1, 3]
    assert counts[3] >= 11
    assert counts[2] == 1
    alone = [SimpleNamespace(need=Need(1, 0)) for _ in loads]
    assert targets_of(alone, loads, nodes) == shares(loads, Need(16, 0))  # type: ignore[arg-type]
