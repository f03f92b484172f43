"""The end of an agent: storage that is full from any write on, a Slurm that does not answer, parts that fail."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import faults
import pytest
from sharded_runs import plan, sharded_run

from curator_slurm.launcher.agent import head as head_module
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.driver_process import Verdict
from curator_slurm.launcher.agent.head import Head
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.agent.session import SESSION_PREFIX
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.attempt_records import EventLog, NodeState
from curator_slurm.launcher.runs.manifest import write_manifest
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.states import RunState


class Drivers:
    """Drivers that write their outputs at once; without faults, whose writes are the storage's of another process."""

    def __init__(self, *_: Any) -> None:
        pass

    def start(self, attempt: Any, more: Any) -> Any:
        class Driver:
            pid = 0

            def __init__(self) -> None:
                self.attempt = attempt

            def exit_code(self) -> int | None:
                return None

            def stop(self, grace_s: float) -> None:
                pass

        return Driver()

    def see_through(self, driver: Any, address: str) -> Verdict:
        name = driver.attempt.outputs / "part.jsonl"
        subprocess.run(["bash", "-c", f"echo '{{}}' >'{name}'"], check=True)
        return Verdict(0, None, "it went well")


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = sharded_run(tmp_path, 1).paths
    (tmp_path / "0.jsonl").write_text("{}\n")
    write_manifest(paths.manifest, [Shard(0, (InputFile(str(tmp_path / "0.jsonl"), 3),))])
    return paths


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    logger = logging.getLogger("curator_slurm.agent")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


def context_of(run: RunPaths, name: str, *, local: bool = True) -> AgentContext:
    cluster = ClusterPaths(run.elements / name, run)
    cluster.nodes.mkdir(parents=True, exist_ok=True)
    cluster.node("n1").root.mkdir(parents=True, exist_ok=True)
    run.secrets.mkdir(exist_ok=True)
    allocation = Allocation("4711_0", 0, 0, ("n1",), 1, 1 << 30, 0, local=local)
    the_plan = plan(run.root, Cluster.LOCAL if local else Cluster.SLURM)
    cluster_of_spec = the_plan.spec.cluster.model_copy(update={"ray": False})
    the_plan = the_plan.model_copy(update={"spec": the_plan.spec.model_copy(update={"cluster": cluster_of_spec})})
    return AgentContext(the_plan, allocation, cluster, StopRequest(), {}, run.plan)


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.ENOSPC])
def test_storage_that_is_full_from_any_write_on(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, number: int, tmp_path: Path
) -> None:
    """What is published stays a success, and whatever happens, the node is taken down and secrets go."""
    monkeypatch.setattr(head_module, "Drivers", Drivers)
    monkeypatch.setattr("curator_slurm.launcher.agent.heartbeat.BEAT_S", 0.05)
    monkeypatch.setattr("curator_slurm.launcher.agent.leaving.STORAGE_S", 0.0)
    ends = set()
    for operation in range(1, 200):
        local = tmp_path / f"l{operation}"
        local.mkdir()
        context = context_of(run, f"4711_0.{operation}")
        monkeypatch.setattr("curator_slurm.launcher.agent.node.session.make_session_dir", _session_in(local))
        with faults.failing(operation, number, for_ever=True) as failed:
            head = Head(context, Node(context), [0])
            code = head.run()
            context.report(NodeState.LEFT, "left the run")
        published = (run.shard_outputs(0) / "part.jsonl").exists()
        assert (code == 0) == published, f"operation {operation}: exit code {code}"
        assert list(local.iterdir()) == [], f"operation {operation}: the session folder stays"
        assert not context.cluster.token.exists()
        ends.add(published)
        if not failed():
            break
        shutil.rmtree(run.outputs, ignore_errors=True)
        run.done(0).unlink(missing_ok=True)
    assert ends == {True, False}


def _session_in(folder: Path) -> Any:
    def make(*_: Any) -> Path:
        path = folder / f"{SESSION_PREFIX}x"
        path.mkdir()
        return path

    return make


def test_a_step_that_fails_keeps_no_other_from_being_taken(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(run, "4711_0.0")
    node = Node(context)
    taken = []
    for name in ("_end_processes", "_keep_logs", "_remove_session", "_free_ports"):

        def fail(name: str = name) -> None:
            taken.append(name)
            raise RuntimeError(name)

        monkeypatch.setattr(node, name, fail)
    node.take_down()
    assert taken == ["_end_processes", "_keep_logs", "_remove_session", "_free_ports"]


@pytest.fixture
def signalled(run: RunPaths) -> Outcomes:
    """An agent in a job that has got SIGTERM."""
    context = context_of(run, "4711_0.0", local=False)
    context.cluster.slurm_log.write_text("*** JOB 4711 ON n1 CANCELLED AT 2026-11-24T04:22:05 DUE TO PREEMPTION ***\n")
    board = NodeBoard(context.cluster, ["n1"])
    outcomes = Outcomes(context, Node(context), EventLog(context.cluster.events, lambda _: None), board)
    context.stop._on_signal(signal.SIGTERM, None)
    return outcomes


def test_the_end_is_written_before_slurm_is_asked(signalled: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nobody answers, it stays as it is."""
    monkeypatch.setattr("curator_slurm.launcher.agent.job_control.REASON_S", 0.5)
    cluster, seen = signalled.context.cluster, []

    class Driver:
        def stop(self, grace_s: float) -> None:
            seen.append(read_json(cluster.ending))

    outcome = signalled.stopped(Driver())  # type: ignore[arg-type]
    assert not cluster.questions.exists(), "Slurm was asked before the end was written"
    assert seen[0]["state"] == "cancelled", "the driver was stopped before the end was written"
    assert seen[0]["provisional"] is True
    assert signalled.explained(outcome) == outcome, "nobody has said why"
    assert list(cluster.questions.iterdir()) == []


def test_the_job_s_log_tells_why_without_slurm(signalled: Outcomes) -> None:
    """What an earlier run of the job was ended for stands there too, and does not count."""
    with signalled.context.cluster.slurm_log.open("a") as log:
        log.write("slurmstepd: error: *** JOB 4711 ON n1 CANCELLED AT 2026-11-24T04:22:05 DUE TO TIME LIMIT ***\n")
    outcome = signalled.stopped(None)
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.TIME_LIMIT)
    assert signalled.explained(outcome) == outcome
    assert not signalled.context.cluster.questions.exists()


def test_slurm_s_word_comes_last_and_counts(signalled: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = signalled.stopped(None)
    assert (outcome.state, outcome.provisional) == (RunState.CANCELLED, True)
    said = "curator_slurm.launcher.agent.outcomes.reason_of_end"
    monkeypatch.setattr(said, lambda _: FailureClass.PREEMPTED)
    found = signalled.explained(replace(outcome, shards_done=[1]))
    assert (found.state, found.failure_class, found.provisional) == (RunState.FAILED, FailureClass.PREEMPTED, False)
    assert found.shards_done == [1]
    assert "preempted" in found.message


def test_a_driver_whose_log_is_full_has_not_failed(tmp_path: Path) -> None:
    """Its last words and its report cannot be written; what it did is done."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from curator_slurm.launcher.driver import driver\n"
        "driver.read_own = driver.Plan.from_yaml = lambda *_: None\n"
        "driver._drive = lambda *_: driver._say('the pipeline ended') or 'done'\n"
        "driver.write_json = lambda *_, **__: (_ for _ in ()).throw(OSError(28, 'No space left on device'))\n"
        f"code = driver.main(['--run-dir={tmp_path}', '--attempt-dir={tmp_path}/a/00000/4711.0', '--plan=p'])\n"
        "driver.drop_unwritable()\n"
        "sys.exit(code)\n"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=full, check=False)
    assert done.returncode == 0


def test_clean_up_after_a_killed_agent_goes_on_whatever_is_damaged(run: RunPaths) -> None:
    from curator_slurm.launcher.agent import node_agent

    context = context_of(run, "4711_0.0")
    run.plan.write_text(context.plan.to_yaml())
    context.cluster.outcome.write_text(json.dumps({"exit_code": None}))
    context.cluster.heartbeat.mkdir()
    context.cluster.token.write_text("secret")
    arguments = ["--run-dir", str(run.root), "--element-dir", str(context.cluster.root), "--clean-up"]
    assert node_agent.main(arguments) == 0
    assert not context.cluster.token.exists()
    assert os.path.isdir(context.cluster.heartbeat)  # noqa: PTH112


@pytest.mark.parametrize("fails", ["remove_secrets_of", "report_head_lost"])
def test_clean_up_after_a_killed_agent_takes_every_step(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    from curator_slurm.launcher.agent import node_agent

    taken = []

    def step(name: str) -> None:
        def take(*_: Any, **__: Any) -> None:
            taken.append(name)
            if name == fails:
                raise RuntimeError(name)

        monkeypatch.setattr(node_agent, name, take)

    for name in ("remove_secrets_of", "report_head_lost", "clean_up"):
        step(name)
    context = context_of(run, "4711_0.0")
    run.plan.write_text(context.plan.to_yaml())
    arguments = ["--run-dir", str(run.root), "--element-dir", str(context.cluster.root), "--clean-up"]
    assert node_agent.main(arguments) == 0
    assert taken == ["remove_secrets_of", "report_head_lost", "clean_up"]
