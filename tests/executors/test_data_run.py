"""What a run on Ray Data keeps of its own: in the cluster, and in the driver after its end."""

from __future__ import annotations

import threading

import pytest
import ray
from ray._private.state import actors
from ray_nodes import start_nodes
from ray_runs import MARKS, runner
from xenna_ray import start_ray
from xenna_stages import Step

from curator_slurm.executors.backends._data_run import DataRun
from curator_slurm.executors.failures import FailurePolicy
from curator_slurm.executors.ray_connection import ray_session

pytestmark = MARKS


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


def test_no_thread_goes_on_asking_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends a process of which a thread asks it something while it disconnects."""
    before = set(threading.enumerate())
    with start_ray(cpus=2) as cluster:
        assert len(runner("ray_data", cluster, monkeypatch)([Step("a")], 4)) == 4
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []
