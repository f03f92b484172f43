"""Agents of a large job come together, all of them, and not at once: their own code, with a stand-in for Ray."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from curator_slurm.launcher.agent.cluster_scale import LARGE

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks/joining.py"


def test_all_join_and_only_the_first_before_the_head() -> None:
    spec = importlib.util.spec_from_file_location("_joining", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    ray = module.RayCluster(1.0, 0.05)
    row = module.measure(LARGE + 8, ray, idle_s=0.1)
    assert len(ray.starts) == row.nodes == LARGE + 8
    late = {address: start for address, start in ray.starts.items() if int(address.rpartition(".")[2]) > LARGE}
    assert len(late) == 7
    assert min(late.values()) >= ray.head_up
    assert row.head_operations > 0
    assert row.node_operations > 0
