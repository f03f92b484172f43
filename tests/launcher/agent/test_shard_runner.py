"""The shards of an element: one after the other, each published once, whatever dies, fails or changes on the way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import faults
import pytest
from run_dirs import new_run
from sharded_runs import plan, sharded_run

from curator_slurm.executors.resume.log import CheckpointLog
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.drain_order import DrainOrder
from curator_slurm.launcher.agent.draining import Draining
from curator_slurm.launcher.agent.driver_process import Verdict
from curator_slurm.launcher.agent.drivers import Drivers, EndedEarlyError
from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.agent.shard_runner import ShardRunner
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import append_jsonl, read_json, write_json
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.done_records import read_done
from curator_slurm.launcher.runs.epoch import raise_epoch
from curator_slurm.launcher.runs.manifest import write_manifest
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.publish import Publisher
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.states import RunState

Action = Callable[[AttemptPaths, Outcomes], Verdict]
GOOD = Verdict(0, None, "it went well")


@dataclass
class FakeDriver:
    """A driver that has not been told to go."""

    attempt: AttemptPaths
    pid: int = 0

    def exit_code(self) -> int | None:
        return None

    def stop(self, grace_s: float) -> None:
        pass


@dataclass
class FakeDrivers:
    """Drivers that write their outputs within the element; `actions` says what shards do instead."""

    outcomes: Outcomes
    actions: Mapping[int, Action] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)

    def start(self, attempt: AttemptPaths, more: Mapping[str, str]) -> FakeDriver:
        self.started.append(attempt.shard)
        return FakeDriver(attempt)

    def see_through(self, driver: FakeDriver, address: str | None) -> Verdict:
        return self.actions.get(driver.attempt.shard, work_well)(driver.attempt, self.outcomes)


def work_well(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
    try:
        (attempt.outputs / "part.jsonl").write_text(json.dumps({"shard": attempt.shard}) + "\n")
    except OSError as error:
        return Verdict(1, FailureClass.STORAGE, f"it failed: {error}")
    return GOOD


def fail(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
    (attempt.outputs / "half.jsonl").write_text("{")
    return Verdict(3, FailureClass.APP_FAILED, "it broke", ("line 1",), "fix it")


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = sharded_run(tmp_path, 3).paths
    shards = []
    for index in range(3):
        file = tmp_path / f"{index}.jsonl"
        file.write_text("{}\n")
        shards.append(Shard(index, (InputFile(str(file), 3),)))
    write_manifest(paths.manifest, shards)
    paths.secrets.mkdir(exist_ok=True)
    return paths


def element(
    run: RunPaths,
    name: str,
    shards: tuple[int, ...] = (0, 1),
    actions: Mapping[int, Action] | None = None,
    check_nodes: Callable[[], None] = lambda: None,
    pipeline: Mapping[str, Any] | None = None,
    drains: Callable[[Draining], None] = lambda _: None,
) -> tuple[Outcome, FakeDrivers]:
    """What the head does with the work of an element."""
    cluster = ClusterPaths(run.elements / name, run)
    cluster.nodes.mkdir(parents=True, exist_ok=True)
    allocation = Allocation("4711_0", 0, 0, ("n1",), 1, 1 << 30, 0, local=True)
    sections = {"pipeline": pipeline} if pipeline else {}
    the_plan = plan(run.root, **sections) if run.target is None else plan(run.root, shards=None, **sections)
    context = AgentContext(the_plan, allocation, cluster, StopRequest(), {}, run.plan)
    node = Node(context)
    events = EventLog(cluster.events, lambda _: None)
    outcomes = Outcomes(context, node, events, NodeBoard(cluster, allocation.nodes))
    drivers = FakeDrivers(outcomes, actions or {})
    draining = Draining(context, outcomes.job_log, lambda _: None)
    work = ShardRunner(context, cast(Drivers, drivers), events, outcomes, shards, draining, check_nodes)
    outcome = work.prepare()
    drains(draining)
    if outcome is None:
        work.start()
        outcome = work.run(None)
    if outcome.state is not RunState.COMPLETED:
        outcome = work.abandon(outcome)
    work.close()
    outcome.write(cluster)
    remove_secrets_of(cluster, array=the_plan.array)
    return outcome, drivers


def attempt_outcome(run: RunPaths, shard: int, name: str) -> dict[str, Any]:
    value = read_json(run.attempts / f"{shard:05d}" / name / "outcome.json")
    assert isinstance(value, dict)
    return value


def assert_once(run: RunPaths, shards: tuple[int, ...] = (0, 1)) -> None:
    """Outputs and done files of exactly these shards, and they agree."""
    assert sorted(path.name for path in run.outputs.iterdir()) == [f"shard-{shard:05d}" for shard in shards]
    done = sorted(path for path in run.shards.glob("[!.]*.done.json"))
    assert [path.name for path in done] == [f"{shard:05d}.done.json" for shard in shards]
    for shard in shards:
        folder = run.shard_outputs(shard)
        assert sorted(path.name for path in folder.iterdir()) == ["_shard.json", "part.jsonl"]
        assert json.loads((folder / "part.jsonl").read_text()) == {"shard": shard}
        assert read_json(folder / "_shard.json") == read_json(run.done(shard))


def test_shards_one_after_the_other(run: RunPaths) -> None:
    outcome, drivers = element(run, "4711_0.0")
    assert (outcome.state, outcome.exit_code, outcome.message) == (RunState.COMPLETED, 0, "2 shards are done")
    assert (outcome.shards_done, outcome.shards_failed, drivers.started) == ([0, 1], [], [0, 1])
    assert_once(run)
    for shard in (0, 1):
        assert attempt_outcome(run, shard, "4711_0.0")["outputs"] == str(run.shard_outputs(shard))
        assert AttemptPaths(run.attempts / f"{shard:05d}" / "4711_0.0", run).element.resolve() == (
            run.elements / "4711_0.0"
        )
    assert run.secrets.exists(), "shard 2 needs the secrets"


def test_the_secrets_go_with_the_last_shard(run: RunPaths) -> None:
    element(run, "4711_0.0")
    element(run, "4711_1.0", (2,))
    assert not run.secrets.exists()


def test_nothing_is_started_for_shards_that_are_done(run: RunPaths) -> None:
    element(run, "4711_0.0")
    run.done(1).unlink()
    outcome, drivers = element(run, "4712_0.0")
    assert (outcome.exit_code, outcome.shards_done, drivers.started) == (0, [0, 1], [])
    assert_once(run)


def test_a_shard_that_fails_does_not_stop_the_others(run: RunPaths) -> None:
    outcome, _ = element(run, "4711_0.0", (0, 1, 2), {1: fail})
    assert (outcome.state, outcome.exit_code, outcome.failure_class) == (RunState.FAILED, 1, FailureClass.APP_FAILED)
    assert outcome.message == "1 of 3 shards failed; shard 1: it broke"
    assert (outcome.shards_done, outcome.shards_failed) == ([0, 2], [1])
    own = attempt_outcome(run, 1, "4711_0.0")
    assert (own["state"], own["failure_class"], own["next_step"]) == ("failed", "app_failed", "fix it")
    assert not (run.attempts / "00001/4711_0.0/work").exists()
    assert_once(run, (0, 2))
    assert element(run, "4712_0.0", (1,))[0].exit_code == 0
    assert_once(run, (0, 1, 2))


def test_the_end_of_the_cluster_is_the_end_of_the_element(run: RunPaths) -> None:
    def end(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        raise EndedEarlyError(outcomes.outcome(RunState.FAILED, "Ray's head died", 1, FailureClass.NODE_FAILED))

    outcome, drivers = element(run, "4711_0.0", (0, 1, 2), {1: end})
    assert (outcome.failure_class, outcome.message) == (FailureClass.NODE_FAILED, "Ray's head died")
    assert (outcome.shards_done, outcome.shards_failed, drivers.started) == ([0], [1], [0, 1])
    assert attempt_outcome(run, 1, "4711_0.0")["failure_class"] == "node_failed"
    assert not (run.attempts / "00001/4711_0.0/work").exists()
    assert not (run.attempts / "00002").exists()


def test_a_signal_between_shards_starts_no_driver(run: RunPaths) -> None:
    def signalled(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        outcomes.context.stop._on_signal(signal.SIGTERM, None)
        return work_well(attempt, outcomes)

    outcome, drivers = element(run, "4711_0.0", (0, 1, 2), {0: signalled})
    assert (outcome.state, outcome.exit_code) == (RunState.CANCELLED, 143)
    assert (outcome.shards_done, outcome.shards_failed, drivers.started) == ([0], [], [0])
    assert_once(run, (0,))


def test_a_driver_that_ends_before_it_is_told_to_go_does_not_stop_the_others(run: RunPaths) -> None:
    def end_early(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        end = outcomes.outcome(RunState.FAILED, "no such module", 2, FailureClass.APP_FAILED)
        raise EndedEarlyError(end, only_driver=True)

    outcome, drivers = element(run, "a", actions={0: end_early})
    assert drivers.started == [0, 1]
    assert (outcome.shards_done, outcome.shards_failed) == ([1], [0])
    assert outcome.failure_class is FailureClass.APP_FAILED
    assert attempt_outcome(run, 0, "a")["message"] == "no such module"
    assert_once(run, (1,))


def test_no_shard_is_begun_with_too_few_nodes(run: RunPaths) -> None:
    def check() -> None:
        raise BootstrapError(FailureClass.NODE_FAILED, "only 1 of 2 nodes are left", "retry")

    outcome, drivers = element(run, "a", (0, 1, 2), check_nodes=check)
    assert drivers.started == [0]
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.NODE_FAILED)
    assert (outcome.shards_done, outcome.shards_failed) == ([0], [])
    assert not (run.attempts / "00001").exists()
    assert_once(run, (0,))
    outcome, drivers = element(run, "b", (0, 1, 2))
    assert drivers.started == [1, 2]
    assert_once(run, (0, 1, 2))


def test_an_element_that_drains_begins_no_further_shard(run: RunPaths) -> None:
    """What was begun is published where it is complete; the others are for the next attempt."""

    def drains(draining: Draining) -> None:
        draining.announced = DrainOrder(FailureClass.TIME_LIMIT, 0.0, time.time() + 60)

    outcome, drivers = element(run, "a", (0, 1, 2), drains=drains)
    assert drivers.started == [0]
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.TIME_LIMIT)
    assert (outcome.shards_done, outcome.shards_failed) == ([0], [])
    assert "the next shard was not begun" in outcome.message
    assert_once(run, (0,))


@pytest.mark.parametrize("moment", ["before it was read", "after it was read"])
def test_input_that_is_not_what_was_planned(run: RunPaths, tmp_path: Path, moment: str) -> None:
    def spoil() -> None:
        (tmp_path / "0.jsonl").write_text("something longer\n")
        (tmp_path / "1.jsonl").unlink()

    def late(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        spoil()
        return work_well(attempt, outcomes)

    if moment.startswith("before"):
        spoil()
    outcome, drivers = element(run, "4711_0.0", (0, 1, 2), {0: late} if moment.startswith("after") else {})
    assert drivers.started == ([2] if moment.startswith("before") else [0, 2])
    assert (outcome.failure_class, outcome.shards_failed) == (FailureClass.STORAGE, [0, 1])
    changed, vanished = (attempt_outcome(run, shard, "4711_0.0")["message"] for shard in (0, 1))
    assert f"{tmp_path / '0.jsonl'} changed" in changed
    assert moment in changed
    assert f"{tmp_path / '1.jsonl'} vanished" in vanished
    assert_once(run, (2,))


def test_nothing_is_published_after_another_start_of_the_job(run: RunPaths) -> None:
    """Even if all is done by then, as of a head that could not read storage meanwhile."""

    def while_another_begins(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        raise_epoch(ClusterPaths(run.elements / "4711_0.1", run).attempt(attempt.shard))
        return work_well(attempt, outcomes)

    outcome, drivers = element(run, "4711_0.0", (0, 1), {0: while_another_begins})
    assert (outcome.failure_class, outcome.shards_done, outcome.shards_failed) == (FailureClass.SUPERSEDED, [], [0])
    assert drivers.started == [0]  # the other start has its other shards, too
    assert attempt_outcome(run, 0, "4711_0.0")["failure_class"] == "superseded"
    assert not run.shard_outputs(0).exists()
    again, _ = element(run, "4711_0.1", (0, 1))
    assert (again.state, again.shards_done) == (RunState.COMPLETED, [0, 1])


def test_two_elements_at_the_same_shard(run: RunPaths) -> None:
    def slowly(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        element(run, "4712_0.0", (0,))
        return work_well(attempt, outcomes) if attempt.outputs.exists() else fail_without_outputs()

    outcome, _ = element(run, "4711_0.0", (0,), {0: slowly})
    assert outcome.exit_code == 0
    assert attempt_outcome(run, 0, "4711_0.0")["message"] == "completed by 4712_0.0"
    assert attempt_outcome(run, 0, "4712_0.0")["message"] == "it went well"
    assert not list(run.attempts.glob("*/*/work"))
    assert_once(run, (0,))


RESUMABLE = {"entry": "my.module:build"}


def finishing(*sources: str, verdict: Verdict = GOOD, rows_failed: int = 0) -> Action:
    """A driver that finishes these sources, and ends in this way."""

    def action(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        log = CheckpointLog(attempt.checkpoint, ["read", "write"])
        assert not set(sources) & log.finished
        for source in sources:
            (attempt.outputs / f"{source}.jsonl").write_text("{}\n")
            if rows_failed:
                append_jsonl(attempt.failures, {"source": source, "rows": rows_failed})
        append_jsonl(attempt.failures, {"source": "in flight", "stage": "read"} if verdict is not GOOD else {})
        log.append(sources)
        log.close()
        return verdict

    return action


FAILED = Verdict(3, FailureClass.APP_FAILED, "it broke")


@pytest.mark.parametrize("kind", ["array", "plain"])
def test_a_retry_goes_on_with_what_is_finished(run: RunPaths, plain: RunPaths, kind: str) -> None:
    paths = run if kind == "array" else plain
    element(paths, "4711.0", (0,), {0: finishing("a", "b", verdict=FAILED, rows_failed=2)}, pipeline=RESUMABLE)
    first = attempt_outcome(paths, 0, "4711.0")
    assert (first["state"], first["sources_before"], first["sources_finished"]) == ("failed", 0, 2)
    element(paths, "4712.0", (0,), {0: finishing(verdict=FAILED)}, pipeline=RESUMABLE)
    element(paths, "4713.0", (0,), {0: finishing("c", rows_failed=1)}, pipeline=RESUMABLE)
    last = attempt_outcome(paths, 0, "4713.0")
    assert (last["state"], last["sources_before"], last["sources_finished"]) == ("completed", 2, 3)
    names = sorted(path.name for path in paths.shard_outputs(0).iterdir())
    assert names == ["_shard.json", "a.jsonl", "b.jsonl", "c.jsonl"]
    done = read_json(paths.done(0))
    assert done is not None
    assert (done["rows_failed"], done["tasks_failed"], done["rows"]) == (5, 1, 3)
    assert all(path.is_file() for path in paths.attempts.glob("*/*/work"))
    events = (paths.elements / "4713.0/events.jsonl").read_text()
    assert "goes on with what 4712.0 has finished: 2 source partitions" in events


def test_other_code_begins_anew(run: RunPaths) -> None:
    element(run, "4711.0", (0,), {0: finishing("a", verdict=FAILED)}, pipeline=RESUMABLE)
    element(run, "4712.0", (0,), {0: finishing("b")}, pipeline={"entry": "my.module:other"})
    assert sorted(path.name for path in run.shard_outputs(0).iterdir()) == ["_shard.json", "b.jsonl"]
    assert "begins anew: 4711.0 ran other code" in (run.elements / "4712.0/events.jsonl").read_text()
    assert not list(run.attempts.glob("*/*/work"))


@pytest.mark.parametrize("ending", [GOOD, FAILED], ids=["ends well", "fails"])
def test_one_that_was_taken_for_lost_ends_as_superseded(run: RunPaths, ending: Verdict) -> None:
    """It lives on, and its driver goes on staging, while the next one takes over and works."""

    def lives_on(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        finishing("a")(attempt, outcomes)
        element(run, "4712.0", (0,), {0: while_it_works}, pipeline=RESUMABLE)
        return ending

    def while_it_works(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        path = run.attempts / "00000/4711.0/work/outputs/late.jsonl"
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("late")
        finishing("b")(attempt, outcomes)
        return FAILED

    element(run, "4711.0", (0,), {0: lives_on}, pipeline=RESUMABLE)
    old = attempt_outcome(run, 0, "4711.0")
    assert (old["state"], old["failure_class"]) == ("failed", "superseded")
    assert "4712.0 has taken over" in old["message"]
    assert not run.shard_outputs(0).exists()
    element(run, "4713.0", (0,), {0: finishing("c")}, pipeline=RESUMABLE)
    names = sorted(path.name for path in run.shard_outputs(0).iterdir())
    assert names == ["_shard.json", "a.jsonl", "b.jsonl", "c.jsonl"]


def test_what_an_earlier_attempt_has_kept_counts(plain: RunPaths) -> None:
    def dropped(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        finishing("b")(attempt, outcomes)
        stages = [{"name": "read", "tasks_in": 1, "tasks_out": 2}, {"name": "f", "tasks_in": 2, "tasks_filtered": 2}]
        write_json(attempt.progress, {"stages": stages})
        return GOOD

    element(plain, "4711.0", (0,), {0: finishing("a", verdict=FAILED)}, pipeline=RESUMABLE)
    element(plain, "4712.0", (0,), {0: dropped}, pipeline=RESUMABLE)
    assert attempt_outcome(plain, 0, "4712.0")["warnings"] == []


def fail_without_outputs() -> Verdict:
    return Verdict(1, FailureClass.APP_FAILED, "the outputs folder is gone")


def start_again(run: RunPaths) -> None:
    for folder in (run.outputs, run.attempts, run.elements):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for done in run.shards.glob("*.done.json*"):
        done.unlink()
    for temporary in run.shards.glob(".*.tmp"):
        temporary.unlink()


@pytest.mark.long
def test_death_after_any_file_operation(run: RunPaths) -> None:
    crashes = 0
    for _ in faults.every_crash(lambda: element(run, "4711_0.0")):
        crashes += 1
        outcome, _ = element(run, "4712_0.0")
        assert (outcome.exit_code, outcome.shards_done) == (0, [0, 1])
        assert_once(run)
        assert not [*run.attempts.glob("*/*/work"), *run.attempts.glob("*/*/removed"), *run.attempts.glob("*/state")]
        start_again(run)
    assert crashes > 50


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_storage_that_refuses_any_file_operation(run: RunPaths, number: int, for_ever: bool) -> None:
    """The element ends with an outcome in any case, and what it calls done is done."""
    operation, came_to_it = 5, True  # the first ones make the element's folder, which the script does
    while came_to_it:
        (run.elements / "4711_0.0/nodes").mkdir(parents=True, exist_ok=True)
        with faults.failing(operation, number, for_ever=for_ever) as reached:
            outcome, _ = element(run, "4711_0.0")
        came_to_it = reached()
        published = [shard for shard in (0, 1) if run.shard_outputs(shard).exists()]
        assert outcome.shards_done == published
        if outcome.exit_code:
            assert outcome.failure_class is FailureClass.STORAGE
            assert os.strerror(number) in outcome.message or "storage" in outcome.message or "quota" in outcome.message
        assert element(run, "4712_0.0")[0].exit_code == 0
        assert_once(run)
        start_again(run)
        operation += 3
    assert operation > 20


def test_a_manifest_that_is_gone(run: RunPaths) -> None:
    run.manifest.unlink()
    outcome, _ = element(run, "4711_0.0")
    assert (outcome.failure_class, outcome.shards_failed) == (FailureClass.STORAGE, [0, 1])
    assert "manifest" in outcome.message


def test_failed_tasks_are_counted(run: RunPaths) -> None:
    def skip_some(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
        attempt.failures.write_text('{"task_id": "a"}\n{"task_id": "b"}\n')
        return work_well(attempt, outcomes)

    element(run, "4711_0.0", (0,), {0: skip_some})
    done = read_json(run.done(0))
    assert done is not None
    assert done["tasks_failed"] == 2
    write_json(run.done(0), done)


@pytest.fixture
def plain(tmp_path: Path) -> RunPaths:
    """A run without an array, whose outputs go to a folder of the user's."""
    file = tmp_path / "0.jsonl"
    file.write_text("{}\n")
    shard = Shard(0, (InputFile(str(file), 3),))
    return new_run(tmp_path / "runs", shards=[shard], output_path=str(tmp_path / "data" / "set")).paths


def assert_published(run: RunPaths, by: str) -> None:
    target = run.shard_outputs(0)
    assert sorted(path.name for path in target.iterdir()) == ["_shard.json", "part.jsonl"]
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    done = read_json(run.done(0))
    assert done == read_json(target / "_shard.json")
    assert done["attempt"] == by


def test_without_an_array_the_outcome_is_that_of_the_shard(plain: RunPaths) -> None:
    outcome, _ = element(plain, "4711.0", (0,))
    assert (outcome.state, outcome.exit_code, outcome.message) == (RunState.COMPLETED, 0, "it went well")
    assert outcome.outputs == str(plain.target)
    assert_published(plain, "4711.0")
    assert not plain.secrets.exists()
    again, drivers = element(plain, "4712.0", (0,))
    assert (again.exit_code, again.message, again.outputs) == (0, "completed by 4711.0", str(plain.target))
    assert drivers.started == []


def test_without_an_array_what_was_staged_is_kept_until_the_run_is_done(plain: RunPaths) -> None:
    outcome, _ = element(plain, "4711.0", (0,), {0: fail})
    assert (outcome.message, outcome.next_step) == ("it broke", "fix it")
    assert (outcome.failure_class, outcome.evidence) == (FailureClass.APP_FAILED, ["line 1"])
    assert (plain.attempts / "00000/4711.0/work/outputs/half.jsonl").exists()
    assert not plain.secrets.exists()
    assert element(plain, "4712.0", (0,), {0: fail})[0].exit_code == 3
    assert (plain.attempts / "00000/4711.0/work/outputs/half.jsonl").exists()
    assert element(plain, "4713.0", (0,))[0].exit_code == 0
    assert not list(plain.attempts.glob("*/*/work"))
    assert_published(plain, "4713.0")


def test_a_target_that_is_filled_is_left_alone(plain: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, "_marker", lambda *_: None)
    assert plain.target is not None
    plain.target.mkdir(parents=True)
    (plain.target / "precious").touch()
    outcome, _ = element(plain, "4711.0", (0,))
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.STORAGE)
    staging = plain.attempts / "00000/4711.0/work/outputs"
    assert f"it exists already and is not empty; they are complete in {staging}" in outcome.message
    assert (staging / "part.jsonl").exists()
    assert [path.name for path in plain.target.iterdir()] == ["precious"]


def test_a_pipeline_that_stages_nothing(plain: RunPaths) -> None:
    outcome, _ = element(plain, "4711.0", (0,), {0: lambda *_: GOOD})
    assert (outcome.state, outcome.outputs) == (RunState.COMPLETED, str(plain.target))
    assert outcome.message == f"Nothing was written to ${{output_dir}}: {plain.target} is empty."
    assert plain.target is not None
    assert list(plain.target.iterdir()) == []
    assert element(plain, "4712.0", (0,))[1].started == []


@pytest.mark.long
@pytest.mark.parametrize("elsewhere", [False, True])
def test_without_an_array_death_after_any_file_operation(
    plain: RunPaths, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(path: Path, new: Path) -> Path:
        if elsewhere and path.name == "outputs" and path.parent.name == "work":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", refuse)
    crashes = by_the_dead = 0
    for _ in faults.every_crash(lambda: element(plain, "4711.0", (0,))):
        crashes += 1
        outcome, drivers = element(plain, "4712.0", (0,))
        assert (outcome.exit_code, outcome.outputs) == (0, str(plain.target))
        by_the_dead += not drivers.started
        assert_published(plain, "4712.0" if drivers.started else "4711.0")
        start_again(plain)
        shutil.rmtree(plain.shard_outputs(0))
    assert 2 <= by_the_dead < crashes
    assert crashes > 30


def keep_nothing(attempt: AttemptPaths, outcomes: Outcomes) -> Verdict:
    counts = {"name": "quality", "tasks_in": 2, "tasks_out": 0, "tasks_filtered": 2, "items_in": 604}
    write_json(attempt.progress, {"stages": [{"name": "read", "tasks_in": 1, "tasks_out": 2}, counts]})
    return GOOD


def test_a_success_that_kept_nothing_says_so(run: RunPaths) -> None:
    outcome, _ = element(run, "4711_0.0", (0, 1), {1: keep_nothing})
    assert outcome.state is RunState.COMPLETED
    words = "nothing was kept: stage 'quality' dropped all 604 items in 2 tasks"
    assert attempt_outcome(run, 1, "4711_0.0")["warnings"] == [words]
    assert attempt_outcome(run, 0, "4711_0.0")["warnings"] == []
    records = [read_done(run, shard) for shard in (0, 1)]
    assert [record.nothing_kept for record in records if record] == ["", words]


def test_keeping_nothing_is_a_failure_where_the_spec_says_so(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = plan(run.root, failures={"fail_if_empty": True})
    monkeypatch.setattr(sys.modules[__name__], "plan", lambda *_, **__: strict)
    outcome, _ = element(run, "4711_0.0", (0, 1), {1: keep_nothing})
    assert (outcome.state, outcome.failure_class) == (RunState.FAILED, FailureClass.APP_FAILED)
    own = attempt_outcome(run, 1, "4711_0.0")
    assert "dropped all 604 items" in own["message"]
    assert "fail_if_empty" in own["next_step"]
    assert_once(run, (0,))
