"""What a run on Ray Data keeps of its own in the cluster."""

from __future__ import annotations

import pytest
import ray
from ray._private.state import actors
from ray_nodes import start_nodes

from curator_slurm.executors.backends._data_run import DataRun
from curator_slurm.executors.failures import FailurePolicy
from curator_slurm.executors.ray_connection import ray_session


def test_the_ledger_is_where_the_driver_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the loss of any other node ends the run."""
    with start_nodes(1) as nodes:
        for name, value in nodes.head.env.items():
            monkeypatch.setenv(name, value)
        with ray_session(stages=[]):
            runs = [DataRun([], FailurePolicy(), ignore_head_node=False) for _ in range(8)]
            assert [run.news().reports for run in runs] == [[]] * 8
            here = ray.get_runtime_context().get_node_id()
            ledgers = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    assert [actor["Address"]["NodeID"] for actor in ledgers] == [here] * 8
