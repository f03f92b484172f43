"""What Slurm's signals mean for work: it drains, as long as Slurm leaves it time, or ends at once."""

from __future__ import annotations

import json
import logging
import os
import signal
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sharded_runs import plan, sharded_run
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.agent import draining as draining_module
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.drain_order import DrainOrder, after_signal, before_limit
from curator_slurm.launcher.agent.draining import Draining
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.drivers import Drivers, EndedEarlyError
from curator_slurm.launcher.agent.heartbeat import Beating, Heartbeat, HeartbeatReader
from curator_slurm.launcher.agent.job_log import JobLog
from curator_slurm.launcher.agent.leave import Leave
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.plan.drain_notice import drain_notice_s
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.runs.attempt_records import DRAINED, EventLog, Outcome, read_ending
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.slurm import parse
from curator_slurm.launcher.slurm.job_info import Ending
from curator_slurm.launcher.states import RunState

NOW = 1000.0
STEP = "slurmstepd-n1: error: *** STEP 4711.0 ON n1 CANCELLED AT 2026-11-30T03:44:57{} ***\n"
JOB = "slurmstepd-n1: error: *** JOB 4711 ON n1 CANCELLED AT 2026-11-30T03:44:57{} ***\n"

# -- how long there is


@pytest.mark.parametrize(
    ("ending", "in_log", "kill_wait_s", "reason", "seconds"),
    [
        (Ending(FailureClass.PREEMPTED, NOW + 60, preempted=True), None, 30, FailureClass.PREEMPTED, 45),
        (Ending(FailureClass.PREEMPTED, NOW + 10, preempted=True), None, 30, FailureClass.PREEMPTED, 5),
        (Ending(), FailureClass.PREEMPTED, 30, FailureClass.PREEMPTED, 15),
        (Ending(None, NOW + 1800), FailureClass.REQUEUED, 90, FailureClass.REQUEUED, 75),
        (Ending(FailureClass.TIME_LIMIT), None, 10, FailureClass.TIME_LIMIT, 5),
        (None, None, None, None, 15),
        (Ending(), None, 0, None, 0),
    ],
)
def test_the_time_that_a_signal_leaves(
    ending: Ending | None, in_log: FailureClass | None, kill_wait_s: float | None, reason: object, seconds: float
) -> None:
    assert after_signal(NOW, ending, in_log, kill_wait_s) == DrainOrder(reason, NOW, NOW + seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [None, Ending(FailureClass.CANCELLED), Ending()])
def test_who_cancels_does_not_want_to_wait(ending: Ending | None) -> None:
    in_log = None if ending is not None and ending.reason else FailureClass.CANCELLED
    assert after_signal(NOW, ending, in_log, 30) is None


def test_the_time_before_the_limit() -> None:
    """Slurm may send the signal a minute too early; some sites send it in place of SIGTERM, when they preempt."""
    limit, preempted = FailureClass.TIME_LIMIT, FailureClass.PREEMPTED
    assert before_limit(NOW, Ending(None, NOW + 170), 120) == DrainOrder(limit, NOW + 50, NOW + 155)
    assert before_limit(NOW, Ending(None, NOW + 20), 30) == DrainOrder(limit, NOW, NOW + 10)
    assert before_limit(NOW, None, 120) == DrainOrder(limit, NOW, NOW + 105)
    assert before_limit(NOW, Ending(preempted, NOW + 60, preempted=True), 30) == DrainOrder(preempted, NOW, NOW + 45)


@pytest.mark.parametrize(
    ("restart", "time_limit", "cluster", "seconds"),
    [
        ({}, "1:00:00", Cluster.SLURM, 120),
        ({}, None, Cluster.SLURM, 120),
        ({}, "2", Cluster.SLURM, 30),
        ({"drain_before_limit_s": 600}, "1-0", Cluster.SLURM, 600),
        ({"drain_before_limit_s": 0}, "1:00:00", Cluster.SLURM, None),
        ({}, "1:00:00", Cluster.LOCAL, None),
    ],
)
def test_when_slurm_is_asked_to_tell(
    tmp_path: Path, restart: dict[str, int], time_limit: str | None, cluster: Cluster, seconds: int | None
) -> None:
    assert drain_notice_s(plan(tmp_path, cluster, restart=restart, resources={"time": time_limit})) == seconds


def test_what_scontrol_says_of_a_job_in_the_grace_of_its_preemption() -> None:
    line = (
        "JobId=5 JobState=RUNNING Reason=None ExitCode=0:0 StartTime=2026-11-30T03:44:53 EndTime=2026-11-30T03:45:12 "
        "PreemptTime=2026-11-30T03:44:57 StdOut=/log"
    )
    (job,) = parse.parse_scontrol(line)
    assert job.preempted is not None
    assert job.ends_by == job.preempted + 15


# -- the head


@dataclass
class Slurm:
    """Answers of Slurm, and the moment when they come."""

    ending: Ending | None = None
    kill_wait: float | None = 30.0
    asked: int = 0


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    told = Slurm()

    def ending_of(_context: AgentContext, *, kill_wait: bool = False) -> tuple[Ending | None, float | None]:
        told.asked += 1
        return told.ending, told.kill_wait if kill_wait else None

    monkeypatch.setattr(draining_module.job_control, "ending_of", ending_of)
    monkeypatch.setattr(draining_module, "_FILE_S", 0.01)
    return told


@pytest.fixture
def context(tmp_path: Path) -> AgentContext:
    run = sharded_run(tmp_path, 1).paths
    cluster = ClusterPaths(run.elements / "4711_0.0", run)
    cluster.node("n1").root.mkdir(parents=True)
    allocation = Allocation("4711_0", 0, 0, ("n1",), 1, 1 << 30, 0, local=False)
    return AgentContext(plan(run.root), allocation, cluster, StopRequest(), {}, run.plan)


@pytest.fixture
def head(context: AgentContext, slurm: Slurm) -> Draining:
    """With the job's log and the seconds that workers are told, as it has them."""
    context.cluster.slurm_log.parent.mkdir(parents=True, exist_ok=True)
    context.cluster.slurm_log.touch()
    found = Draining(context, JobLog(context), lambda seconds: told.append(seconds))
    told: list[float] = []
    found.told = told  # type: ignore[attr-defined]
    return found


def say(context: AgentContext, line: str, signum: int | None = signal.SIGTERM) -> None:
    with context.cluster.slurm_log.open("a") as log:
        log.write(line)
    if signum is not None:
        context.stop._on_signal(signum, None)


def decided(head: Draining) -> bool:
    head.look()
    return head.stops or head.announced is not None


def test_a_question_that_fails_ends_the_work(
    head: Draining, context: AgentContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_context: AgentContext, *, kill_wait: bool) -> tuple[Ending | None, float | None]:
        raise RuntimeError("what nobody has thought of")

    monkeypatch.setattr(draining_module.job_control, "ending_of", fail)
    with caplog.at_level(logging.ERROR, logger="curator_slurm.agent"):
        say(context, "")
        wait_for("the end of the work", lambda: decided(head), 30)
    assert (head.stops, head.order) == (True, None)
    assert "what nobody has thought of" in caplog.text


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_end_the_work(head: Draining, context: AgentContext, slurm: Slurm, signum: int) -> None:
    say(context, "", signum)
    head.look()
    assert (head.stops, slurm.asked) == (True, 0)


def test_a_cancelled_job_ends_without_a_question(head: Draining, context: AgentContext, slurm: Slurm) -> None:
    say(context, JOB.format("") + STEP.format(""))
    head.look()
    assert (head.stops, slurm.asked) == (True, 0)


def test_a_preemption_begins_like_a_cancelled_step(head: Draining, context: AgentContext, slurm: Slurm) -> None:
    """Only Slurm's answer tells them apart; at the end of the grace a second signal shortens the time."""
    slurm.ending = Ending(FailureClass.PREEMPTED, time.time() + 100, preempted=True)
    say(context, STEP.format(""))
    wait_for("the answer", lambda: decided(head), 30)
    assert not head.stops
    assert head.order is not None
    assert head.order.reason is FailureClass.PREEMPTED
    assert 70 < head.order.until - time.time() <= 85
    assert 0 < head.told[0] <= 85 + draining_module.LATE_S  # type: ignore[attr-defined]
    slurm.ending = Ending()
    first = head.order
    say(context, STEP.format(" DUE TO PREEMPTION") + JOB.format(" DUE TO PREEMPTION"))
    wait_for("the second answer", lambda: head.look() or head.announced != first, 30)  # type: ignore[func-returns-value]
    assert head.order.until - time.time() <= 15
    assert not head.is_late


def test_a_cancelled_step_ends_when_slurm_says_so(head: Draining, context: AgentContext, slurm: Slurm) -> None:
    slurm.ending = Ending(FailureClass.CANCELLED)
    say(context, STEP.format(""))
    wait_for("the answer", lambda: decided(head), 30)
    assert head.stops


def test_a_drain_before_the_limit_is_not_for_who_cancels(head: Draining, context: AgentContext, slurm: Slurm) -> None:
    slurm.ending = Ending(None, time.time() + 60)
    head.watch()
    context.cluster.drain_request.touch()
    wait_for("the answer", lambda: decided(head), 30)
    assert head.order is not None
    assert head.order.reason is FailureClass.TIME_LIMIT
    assert head.told == [], "the other nodes have got no signal"  # type: ignore[attr-defined]
    head.look()
    assert slurm.asked == 1
    say(context, JOB.format(""))
    head.look()
    assert head.stops
    head.end()


def test_a_signal_long_before_the_limit_waits(head: Draining, context: AgentContext, slurm: Slurm) -> None:
    slurm.ending = Ending(None, time.time() + 1000)
    head.watch()
    context.cluster.drain_request.touch()
    wait_for("the answer", lambda: decided(head), 30)
    assert head.announced is not None
    assert head.order is None
    head.end()


# -- the driver


@dataclass
class FakeDriver:
    """A driver that ends when it is told to drain, if it obeys."""

    attempt: Any
    verdict_: Verdict
    obeys: bool = True
    is_command: bool = False
    orders: list[tuple[str, float]] = field(default_factory=list)
    stopped: bool = False
    terminated: bool = False
    pid: int = 0
    on_go: Callable[[], None] = lambda: None
    ends_at_once: bool = False

    def go(self, address: str) -> None:
        self.on_go()
        self.stopped = self.ends_at_once

    def drain(self, reason: str, until: float) -> None:
        self.orders.append((reason, until))
        self.terminated = self.is_command

    def exit_code(self) -> int | None:
        return self.verdict_.exit_code if self.stopped or (self.obeys and self.orders) else None

    def stop(self, grace_s: float) -> None:
        self.stopped = True

    def phases(self) -> dict[str, float]:
        return {}

    def verdict(self) -> Verdict:
        return self.verdict_


PEACE = Verdict(DRAINED, FailureClass.UNKNOWN, "drained: in peace", (), "", True, 3, 5)


def ended(
    head: Draining, verdict: Verdict, on_go: Callable[[], None] = lambda: None, **more: Any
) -> tuple[Outcome | Verdict, FakeDriver, list[dict[str, Any]]]:
    """What becomes of a driver: its verdict, or the outcome of the element; and the events."""
    context = head.context
    events = EventLog(context.cluster.events, lambda _: None)
    node = cast(Node, SimpleNamespace(ray=None, waiting=None))
    outcomes = Outcomes(context, node, events, NodeBoard(context.cluster, ["n1"]))
    drivers = Drivers(context, node, events, outcomes, head)
    attempt = context.cluster.attempt(0)
    attempt.root.mkdir(parents=True)
    driver = FakeDriver(attempt, verdict, on_go=on_go, **more)
    result: Outcome | Verdict
    try:
        result = drivers.see_through(cast(DriverProcess, driver), "here")
    except EndedEarlyError as end:
        result = end.outcome
    noted = context.cluster.events.read_text() if context.cluster.events.exists() else ""
    lines = [json.loads(line) for line in noted.splitlines()]
    return result, driver, [line for line in lines if line["event"] in ("draining", "drained", "signal_received")]


def announce(head: Draining, seconds: float, reason: FailureClass = FailureClass.TIME_LIMIT) -> Callable[[], None]:
    def begin() -> None:
        head.announced = DrainOrder(reason, time.time(), time.time() + seconds)

    return begin


def test_a_driver_that_drains_ends_the_element(head: Draining) -> None:
    outcome, driver, events = ended(head, PEACE, announce(head, 60))
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.failure_class, outcome.exit_code) == (RunState.FAILED, FailureClass.TIME_LIMIT, 75)
    assert outcome.message == "drained, because the time limit is near: drained: in peace"
    assert driver.orders[0][0] == "time limit"
    assert not driver.stopped
    assert [(event["event"], event["reason"]) for event in events] == [
        ("draining", "time_limit"),
        ("drained", "time_limit"),
    ]  # fmt: skip
    assert (events[1]["sources_finished"], events[1]["sources_left"]) == (3, 5)
    assert (read_json(driver.attempt.drain) or {})["reason"] == "time_limit"
    ending = read_ending(head.context.cluster)
    assert ending is not None
    assert ending.failure_class is FailureClass.TIME_LIMIT


def test_work_that_is_complete_all_the_same_is_a_success(head: Draining) -> None:
    done = Verdict(0, None, "it went well")
    assert ended(head, done, announce(head, 60))[0] == done


def test_a_failure_of_the_pipeline_stays_one(head: Draining) -> None:
    broken = Verdict(1, FailureClass.APP_FAILED, "it broke")
    assert ended(head, broken, announce(head, 60))[0] == broken


def test_a_command_that_ends_after_sigterm_is_not_complete(head: Draining) -> None:
    """Many programs end with 0 after SIGTERM, their work saved and not done."""
    outcome, _, events = ended(head, Verdict(0, None, "fine"), announce(head, 60), is_command=True)
    assert isinstance(outcome, Outcome)
    assert outcome.failure_class is FailureClass.TIME_LIMIT
    assert "after SIGTERM" in outcome.message
    assert events[0]["message"].startswith("the command has got SIGTERM")


def test_what_does_not_end_in_time_is_ended(head: Draining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining_module, "LATE_S", 0.05)
    outcome, driver, _ = ended(head, PEACE, announce(head, 0.1), obeys=False)
    assert driver.stopped
    assert isinstance(outcome, Outcome)
    assert outcome.failure_class is FailureClass.TIME_LIMIT
    assert "runs again" in outcome.message


def test_what_dies_of_the_same_signal_has_not_failed(
    head: Draining, context: AgentContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Slurm signals every process of a job, the driver may be gone before anybody has said why."""
    monkeypatch.setattr(head, "look", lambda: None)
    dead = Verdict(143, FailureClass.APP_FAILED, "the driver was killed by SIGTERM")
    line = STEP.format(" DUE TO PREEMPTION")
    outcome, _, events = ended(head, dead, lambda: say(context, line), ends_at_once=True)
    assert isinstance(outcome, Outcome)
    assert outcome.failure_class is FailureClass.PREEMPTED
    assert [event["event"] for event in events] == ["signal_received"]


def test_before_a_driver_has_begun_there_is_nothing_to_drain(head: Draining) -> None:
    announce(head, 60)()
    outcome, driver, _ = ended(head, PEACE)
    assert isinstance(outcome, Outcome)
    assert outcome.failure_class is FailureClass.TIME_LIMIT
    assert "nothing had begun" in outcome.message
    assert driver.orders == []


PIPELINE = """
    import json, sys, time
    from curator_slurm.executors.run import drain
    from curator_slurm.executors.task_failures import DrainedError

    class Pipeline:
        def run(self, executor=None, **_):
            open(OUT + "/read", "w").write(repr(sys.stdin.read()))
            while drain.requested() is None:
                time.sleep(0.01)
            try:
                raise DrainedError("in peace", 3, 5)
            except DrainedError as error:
                raise RuntimeError("wrapped by the pipeline") from error

    OUT = __file__.rpartition("/")[0]

    def build():
        return Pipeline()
"""


def driver_of(tmp_path: Path, pipeline: str, *, is_command: bool = False) -> DriverProcess:
    """A real driver, which has been told to go."""
    (tmp_path / "spec.yaml").write_text(
        f"name: demo\npipeline: {pipeline}\ncluster: {{ray: {str(not is_command).lower()}}}\n"
    )
    run = RunPaths(tmp_path / "run")
    attempt = ClusterPaths(run.element("1", 0), run).attempt(0)
    attempt.outputs.mkdir(parents=True)
    spec = tmp_path / "spec.yaml"
    run.plan.write_text(make_plan(spec, [], Cluster.LOCAL, {"HOME": str(tmp_path)}).to_yaml())
    driver = DriverProcess(attempt, run.plan, dict(os.environ), tmp_path, 0o022, is_command=is_command)
    driver.go("none")
    return driver


def test_a_driver_hears_of_it_on_its_standard_input(tmp_path: Path) -> None:
    (tmp_path / "drains.py").write_text(textwrap.dedent(PIPELINE))
    driver = driver_of(tmp_path, "{entry: drains:build}")
    wait_for("the pipeline", lambda: (tmp_path / "read").exists() or driver.exit_code(), 60)
    assert driver.exit_code() is None, driver.attempt.driver_log.read_text()
    driver.drain("time limit", time.time() + 60)
    wait_for("its end", lambda: driver.exit_code() is not None, 60)
    verdict = driver.verdict()
    assert (verdict.exit_code, verdict.drained, verdict.message) == (DRAINED, True, "in peace")
    assert (verdict.sources_finished, verdict.sources_left) == (3, 5)
    assert (tmp_path / "read").read_text() == "''", "the pipeline reads what is not for it"


def test_a_command_gets_sigterm_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = (
        f"trap 'echo term >>{out}' TERM; echo up >>{out}; while [ ! -e {out}.over ]; do sleep 0.05; done; cat >>{out}"
    )
    driver = driver_of(tmp_path, "{command: " + json.dumps(text) + "}", is_command=True)
    wait_for("the command", lambda: out.exists(), 60)
    for _ in range(2):
        driver.drain("preempted", time.time() + 60)
        wait_for("the signal", lambda: "term" in out.read_text(), 60)
    (tmp_path / "out.over").touch()
    wait_for("its end", lambda: driver.exit_code() is not None, 60)
    assert (driver.exit_code(), driver.terminated) == (0, True)
    assert out.read_text() == "up\nterm\n"
    driver.drain("preempted", time.time() + 60)  # it is gone


# -- the workers


def test_a_worker_stays_while_the_head_drains(context: AgentContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator_slurm.launcher.agent.leave._QUICK_S", 0.01)
    beating = Beating(Heartbeat(context.cluster.heartbeat))
    beating.tell({"address": "here"})
    beating.start()
    reader = HeartbeatReader(context.cluster.heartbeat)
    leave = Leave(context, reader)
    assert not leave.is_due(0.01)
    context.stop._on_signal(signal.SIGTERM, None)
    assert not leave.is_due(0.01), "the head has had no time to say what it does"
    beating.drain(600)
    wait_for("the head's word", lambda: leave.is_due(0.01) or "drain_s" in reader.signal.cluster, 30)
    assert reader.signal.cluster["address"] == "here"
    monkeypatch.setattr("curator_slurm.launcher.agent.leave._WORD_S", 0.0)
    assert not leave.is_due(0.01)
    beating.end(30)
    wait_for("the end", lambda: leave.is_due(0.01), 30)


def test_a_worker_leaves_where_the_head_does_not_drain(context: AgentContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator_slurm.launcher.agent.leave._WORD_S", 0.05)
    Heartbeat(context.cluster.heartbeat).send(cluster={"address": "here"})
    leave = Leave(context, HeartbeatReader(context.cluster.heartbeat))
    context.stop._on_signal(signal.SIGTERM, None)
    wait_for("the time to leave", lambda: leave.is_due(0.01), 30)
    at_once = Leave(context, HeartbeatReader(context.cluster.heartbeat))
    context.stop.signum = signal.SIGINT
    assert at_once.is_due(0.01)
