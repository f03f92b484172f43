"""What is said in the place of an agent that was killed."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import StopRequest
from curator_slurm.launcher.agent.heartbeat import Heartbeat, HeartbeatReader
from curator_slurm.launcher.agent.node_agent import report_head_lost, report_worker_lost
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.agent.worker import _code, _give_up
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.attempt_records import EventLog, NodeState, NodeStatus, Outcome, read_node_status
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.restart_request import ENDS_JOB, GOES_ON, How, RestartRequest
from curator_slurm.launcher.spec.notify_section import NotifySpec
from curator_slurm.launcher.states import RunState

ALLOCATION = Allocation(job_id="7", restart=0, node_id=0, nodes=("n1", "n2"), cpus=1, memory=1, gpus=0)


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterPaths:
    root = tmp_path / "elements" / "7_0.0"
    root.mkdir(parents=True)
    return ClusterPaths(root, RunPaths(tmp_path))


def test_workers_are_told_at_once_and_users_why(cluster: ClusterPaths) -> None:
    heartbeat = Heartbeat(cluster.heartbeat)
    heartbeat.send(cluster={"address": "10.0.0.1:20000"})
    reader = HeartbeatReader(cluster.heartbeat)
    assert not reader.read().ended
    report_head_lost(cluster, ALLOCATION)
    assert reader.read().ended
    assert reader.signal.cluster == {"address": "10.0.0.1:20000"}
    assert reader.signal.beat > heartbeat.signal.beat
    outcome = json.loads(cluster.outcome.read_text())
    assert (outcome["state"], outcome["failure_class"]) == ("failed", "node_failed")
    assert "n1 was killed" in outcome["message"]
    assert cluster.exit_code.read_text() == "1\n"


def test_an_outcome_that_is_there_stays(cluster: ClusterPaths) -> None:
    cluster.outcome.write_text('{"state": "completed", "exit_code": 0}')
    report_head_lost(cluster, ALLOCATION)
    assert json.loads(cluster.outcome.read_text()) == {"state": "completed", "exit_code": 0}
    assert cluster.exit_code.read_text() == "0\n"
    assert not cluster.heartbeat.exists()


@pytest.mark.parametrize("state", [None, *NodeState])
def test_a_worker_that_was_killed_in_the_middle_has_failed(cluster: ClusterPaths, state: NodeState | None) -> None:
    paths = cluster.node("n2")
    if state is not None:
        paths.root.mkdir(parents=True)
        known = NodeStatus("n2", 1, "worker", state, address="10.0.0.2", session_dir="/tmp/cs-1", memory_kills=2)
        replace(known, group="gpu").write(paths)
    report_worker_lost(cluster, replace(ALLOCATION, node_id=1))
    status = read_node_status(paths)
    is_over = state in (NodeState.LEFT, NodeState.FAILED)
    assert status["state"] == (state if is_over else NodeState.FAILED)
    assert ("was killed" in status["message"]) is not is_over
    if state is not None:
        assert (status["session_dir"], status["memory_kills"], status["group"]) == ("/tmp/cs-1", 2, "gpu")


def stopped_head(cluster: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What a head says that lives, and gets the signal of a job that is cancelled."""
    monkeypatch.setattr("curator_slurm.launcher.agent.outcomes.reason_of_end", lambda _: FailureClass.CANCELLED)
    stop = StopRequest()
    stop._on_signal(signal.SIGTERM, None)
    context: Any = SimpleNamespace(cluster=cluster, stop=stop, allocation=ALLOCATION)
    events = EventLog(cluster.events, lambda _: None)
    outcomes = Outcomes(context, SimpleNamespace(), events, NodeBoard(cluster, ALLOCATION.nodes))  # type: ignore[arg-type]
    return outcomes.stopped(None)


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes by which this process was to end later, whatever storage does."""
    codes: list[int] = []
    monkeypatch.setattr("curator_slurm.launcher.agent.worker._exit_later", codes.append)
    return codes


def give_up(cluster: ClusterPaths, *, lives: bool = False, signalled: bool = False) -> int | None:
    """What a worker does that takes its head for lost; gives what it ends with."""
    context: Any = SimpleNamespace(
        cluster=cluster,
        stop=StopRequest(),
        allocation=replace(ALLOCATION, node_id=1),
        plan=SimpleNamespace(array=False, spec=SimpleNamespace(notify=NotifySpec())),
        submission=None,
        goes_on=False,
    )
    watch: Any = SimpleNamespace(reason="no heartbeat for 45 s", shows_life_after_a_write=lambda: lives)
    if signalled:
        context.stop._on_signal(signal.SIGTERM, None)
    assert _give_up(context, watch) is not lives
    return None if lives else _code(context)


def test_a_head_that_was_killed_says_whether_its_run_goes_on(cluster: ClusterPaths) -> None:
    report_head_lost(cluster, ALLOCATION, "not restarted any more: 3 restarts in a row finished nothing")
    message = str((read_json(cluster.outcome) or {})["message"])
    assert message.endswith("was killed; not restarted any more: 3 restarts in a row finished nothing")


def test_a_job_that_goes_on_is_ended_by_the_shell_that_carries_that_out(cluster: ClusterPaths, late: list[int]) -> None:
    """And by the first worker's alone: those that come after it find its request."""
    RestartRequest(how=How.REQUEUE, shards=[0], cancels=True).write(cluster)
    assert give_up(cluster) == GOES_ON
    assert late == []
    assert (read_json(cluster.outcome) or {})["failure_class"] == "node_failed"


def test_a_head_that_a_worker_gave_up_is_not_told_as_cancelled(
    cluster: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert give_up(cluster) == ENDS_JOB
    outcome = stopped_head(cluster, monkeypatch)
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.NODE_FAILED)
    assert outcome.message == "the head node n1 was lost: no heartbeat for 45 s"
    assert "n2" in outcome.evidence[0]
    assert outcome.next_step
    outcome.write(cluster)
    assert json.loads(cluster.outcome.read_text())["failure_class"] == "node_failed"


def test_without_a_reason_of_others_it_was_cancelled(cluster: ClusterPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped_head(cluster, monkeypatch).state is RunState.CANCELLED
    cluster.outcome.write_text("{")
    assert stopped_head(cluster, monkeypatch).state is RunState.CANCELLED


def test_a_worker_that_gives_up_does_not_wait_for_storage_for_ever(
    cluster: ClusterPaths, monkeypatch: pytest.MonkeyPatch, late: list[int]
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("curator_slurm.launcher.agent.worker._leave_reason", lambda *_: go_on.wait(60))
    monkeypatch.setattr("curator_slurm.launcher.agent.worker._REASON_S", 0.05)
    assert give_up(cluster) == ENDS_JOB
    assert late == [ENDS_JOB]
    go_on.set()


def test_a_job_that_slurm_ends_is_ended_by_nobody_else(cluster: ClusterPaths, late: list[int]) -> None:
    """It may be about to run again."""
    assert give_up(cluster, signalled=True) == 1
    assert late == []


def test_a_head_that_beats_again_is_not_given_up(cluster: ClusterPaths) -> None:
    """Storage took no writes: neither its beat nor our reason."""
    assert give_up(cluster, lives=True) is None
    assert not cluster.outcome.exists()
