"""What is gathered of a run: which attempt counts, how much is read, and when Slurm is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, node_status, outcome, progress, submit_again, submitted_run
from sharded_runs import fail, publish, sharded_run

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import RESTART, SubmissionRecord, write_submission
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.job_info import JobInfo
from curator_slurm.launcher.slurm.parse import ArrayTasks
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer
from curator_slurm.launcher.status.gather import Gathered, Level, collect_facts, observe, status_of, statuses_of
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.shard_status import ShardState
from curator_slurm.launcher.status.watch import Watcher


def facts_of(run: Run, answer: SlurmAnswer, level: Level = Level.FAILURES, shard: int | None = None) -> Gathered:
    from curator_slurm.launcher.runs.submissions import read_submissions

    return collect_facts(run, read_submissions(run.paths), answer, level, shard=shard)


def job(state: SlurmState, **more: int) -> SlurmAnswer:
    return SlurmAnswer(jobs={"4711": JobInfo(job_id="4711", state=state, **more)})  # type: ignore[arg-type]


def array_run(folder: Path, shards: int, per_element: int = 1) -> Run:
    """A submitted run of shards, array 4711."""
    run = sharded_run(folder, shards)
    elements = [
        Element(number, tuple(range(number * per_element, (number + 1) * per_element)))
        for number in range(shards // per_element)
    ]
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=len(elements), shards=shards,
        array=f"0-{len(elements) - 1}", job_id="4711", submitted=1.0,
    )  # fmt: skip
    write_submission(run.paths, record, elements, {})
    return run


# A run of one shard


def test_everything_is_read_of_a_run_of_one_shard(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    node_status(attempt, "n1", "joined")
    progress(attempt)
    status = facts_of(run, job(SlurmState.RUNNING), Level.STATE).decide()
    assert status.state is RunState.RUNNING
    assert status.only is not None
    assert [node.node for node in status.only.detail.node_reports] == ["n1"]
    assert [stage.name for stage in status.stages] == ["reader", "quality filter"]
    assert status.object_store is not None


def test_an_attempt_that_drains_and_one_that_begins_again(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    running = job(SlurmState.RUNNING)
    assert facts_of(run, running).decide().state is RunState.RUNNING
    attempt.drain.write_text("{}")
    drains = facts_of(run, running).decide()
    assert (drains.state, drains.only and drains.only.state) == (RunState.DRAINING, ShardState.DRAINING)
    outcome(attempt, "failed", failure_class="preempted", message="preempted by another job")
    attempt.cluster.restart_request.write_text("")
    due = facts_of(run, running).decide()
    assert (due.state, due.message[-23:]) == (RunState.RESTARTING, "preempted by another job"[-23:])
    again = facts_of(run, job(SlurmState.PENDING)).decide()
    assert (again.state, "in the queue again" in again.message) == (RunState.RESTARTING, True)
    assert facts_of(run, job(SlurmState.PREEMPTED)).decide().state is RunState.FAILED  # nobody has followed it


def test_a_job_that_was_requeued_counts_before_it_has_begun(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), "failed", failure_class="preempted")
    assert facts_of(run, job(SlurmState.PENDING, restarts=1)).decide().state is RunState.RESTARTING
    again = new_attempt(run, restart=1)  # its cluster boots
    again.root.rmdir()
    for answer in (job(SlurmState.RUNNING, restarts=1), job(SlurmState.RUNNING)):
        assert facts_of(run, answer).decide().state is RunState.STARTING
    again.root.mkdir()
    event(again, "driver_started")
    assert facts_of(run, job(SlurmState.RUNNING, restarts=1)).decide().state is RunState.RUNNING


def test_the_outcome_of_an_earlier_submission_does_not_count(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), "failed", failure_class="app_failed")
    run = submit_again(run, "4712")
    pending = SlurmAnswer(jobs={"4712": JobInfo(job_id="4712", state=SlurmState.PENDING)})
    assert facts_of(run, pending).decide().state is RunState.PENDING


def test_what_is_done_is_told_of_the_attempt_that_did_it(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), message="all is well")
    run = submit_again(run, "4712")
    status = facts_of(run, SlurmAnswer()).decide()
    assert (status.state, status.message) == (RunState.COMPLETED, "all is well")


def test_the_agents_log_stands_in_for_that_of_the_batch_script(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    os.utime(attempt.cluster.heartbeat, (1, 1))
    node_status(attempt, "n1", "starting")
    attempt.cluster.node("n1").agent_log.write_text("agent: no python\n")
    assert list(facts_of(run, job(SlurmState.FAILED)).decide().evidence) == ["agent: no python"]
    run.paths.slurm_log("4711").write_text("slurmstepd: error\n")
    assert list(facts_of(run, job(SlurmState.FAILED)).decide().evidence) == ["slurmstepd: error"]


# Many shards


def test_details_only_of_the_shard_that_is_asked_for(tmp_path: Path) -> None:
    run = array_run(tmp_path, 3)
    for shard in range(3):
        fail(run, shard, f"4711_{shard}.0", "app_failed", evidence=["ValueError"])
    status = facts_of(run, SlurmAnswer(), shard=1).decide()
    assert set(status.details) == {1}
    assert status.details[1].detail.evidence == ("ValueError",)
    assert all(not each.detail.evidence for each in status.open if each.shard != 1)


def test_reasons_are_read_only_where_they_are_wanted(tmp_path: Path) -> None:
    run = array_run(tmp_path, 2)
    fail(run, 0, "4711_0.0", "out_of_memory")
    assert facts_of(run, SlurmAnswer()).decide().classes == {
        FailureClass.OUT_OF_MEMORY: [0],
        FailureClass.UNKNOWN: [1],
    }
    assert facts_of(run, SlurmAnswer(), Level.STATE).facts.attempts == {}


def test_shards_of_a_running_element(tmp_path: Path) -> None:
    run = array_run(tmp_path, 4, per_element=2)
    running = SlurmAnswer(tasks=[ArrayTasks("4711", (0, 1), SlurmState.RUNNING, 1.0)])
    (run.paths.attempts / "00000" / "4711_0.0").mkdir(parents=True)
    states = [status.state for status in facts_of(run, running).decide().open]
    assert states == [ShardState.RUNNING, ShardState.PENDING, ShardState.STARTING, ShardState.PENDING]


# Slurm and other machines


def test_old_failures_are_not_asked_for(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    outcome(attempt, "failed", failure_class="app_failed", ended=time.time() - 7200)
    done = array_run(tmp_path, 1)
    publish(done, 0, "4711_0.0")
    os.utime(done.paths.done(0), (time.time() - 7200,) * 2)
    assert [status.state for status in statuses_of([run, done])] == [RunState.FAILED, RunState.COMPLETED]
    assert fake_slurm.calls == []


@pytest.mark.parametrize("look", [status_of, lambda run: statuses_of([run])[0], lambda run: Watcher(run).poll()])
def test_a_job_that_the_run_submits_while_slurm_is_asked(
    tmp_path: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, look: Callable[[Run], RunStatus]
) -> None:
    """The one before has ended when Slurm answers: whoever knows of that alone takes the run for failed."""
    run = submitted_run(tmp_path)
    outcome(new_attempt(run), "failed", failure_class="time_limit")

    def states(_: object, job_ids: Iterable[str], **__: object) -> dict[str, list[JobInfo]]:
        if not (run.paths.submissions / "0001").exists():
            submit_again(run, "4712", purpose=RESTART)
        known = {"4711": SlurmState.TIMEOUT, "4712": SlurmState.PENDING}
        return {job_id: [JobInfo(job_id=job_id, state=known[job_id])] for job_id in job_ids}

    monkeypatch.setattr(Slurm, "job_states", states)
    assert look(run).state is RunState.RESTARTING


def published(run: Run, job_id: str = "4711", restart: int = 0) -> AttemptPaths:
    """An attempt that has published its outputs, and whose agent has not ended."""
    attempt = new_attempt(run, job_id, restart)
    outcome(attempt, agent_ended=False)
    return attempt


def test_a_published_run_goes_on_until_its_agent_has_ended(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = published(run)
    for answer in (job(SlurmState.RUNNING), SlurmAnswer(), SlurmAnswer(error="no answer")):
        assert facts_of(run, answer).decide().state is RunState.RUNNING
    assert facts_of(run, job(SlurmState.COMPLETED)).decide().state is RunState.COMPLETED
    outcome(attempt)
    for answer in (job(SlurmState.RUNNING), job(SlurmState.PENDING, restarts=1), SlurmAnswer(error="no answer")):
        found = facts_of(run, answer).decide()
        assert (found.state, found.ended is None) == (RunState.COMPLETED, False)


def test_the_agent_that_has_published_need_not_be_the_one_that_ends(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    published(run)
    answer = job(SlurmState.RUNNING, restarts=1)
    again = new_attempt(run, restart=1)
    assert facts_of(run, answer).decide().state is RunState.RUNNING
    again.cluster.outcome.write_text('{"schema": 1, "state": "completed"}')
    assert facts_of(run, answer).decide().state is RunState.COMPLETED


def test_a_run_that_was_submitted_by_hand_goes_on_until_its_agent_has_ended(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = published(run, "4712")
    answer = job(SlurmState.FAILED)
    assert facts_of(run, answer).decide().state is RunState.RUNNING
    outcome(attempt)
    assert facts_of(run, answer).decide().state is RunState.COMPLETED


def test_the_list_says_the_same_of_runs_that_are_ending(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    single, many = submitted_run(tmp_path), array_run(tmp_path, 2)
    published(single)
    for shard in range(2):
        publish(many, shard, f"4711_{shard}.0")
    before = len(fake_slurm.calls)
    assert [status.state for status in statuses_of([single, many])] == [RunState.RUNNING, RunState.COMPLETED]
    assert len(fake_slurm.calls) - before <= 3
    answer = SlurmAnswer(tasks=[ArrayTasks("4711", (1,), SlurmState.RUNNING)])
    assert facts_of(many, answer, Level.STATE).decide().state is RunState.RUNNING
    ending = many.paths.elements / "4711_1.0"
    ending.mkdir(parents=True, exist_ok=True)
    (ending / "outcome.json").write_text('{"schema": 1, "state": "completed"}')
    assert facts_of(many, answer, Level.STATE).decide().state is RunState.COMPLETED


def test_a_run_of_another_machine_is_known_by_its_heartbeat(tmp_path: Path) -> None:
    run = submitted_run(tmp_path, "local-1-1", cluster="local", host="laptop", pid=1)
    attempt = new_attempt(run, "local-1-1")
    event(attempt, "driver_started")
    status = status_of(run)
    assert (status.state, "laptop" in status.warnings[0]) == (RunState.RUNNING, True)
    os.utime(attempt.cluster.heartbeat, (1, 1))
    status = status_of(run)
    assert (status.state, "laptop" in status.next_step) == (RunState.UNKNOWN, True)


@pytest.mark.parametrize("what", ["record", "submission"])
def test_files_that_cannot_be_read(tmp_path: Path, fake_slurm: FakeSlurm, what: str) -> None:
    run = submitted_run(tmp_path)
    path = run.paths.record if what == "record" else run.paths.submission(0).record
    path.write_text("{")
    from curator_slurm.launcher.runs.registry import load_run

    run = load_run(run.paths.root)
    gathered, status = observe(run)
    assert (gathered, status.state) == (None, RunState.UNKNOWN)
    assert "damaged" in status.message
    assert [each.state for each in statuses_of([run])] == [RunState.UNKNOWN]


def test_a_failed_shard_is_seen_while_its_element_goes_on(tmp_path: Path) -> None:
    run = array_run(tmp_path, 3, per_element=3)
    fail(run, 0, "4711_0.0", "app_failed", "it broke", started=100.0, ended=130.0)
    began = time.time() - 7
    for shard in (0, 1):
        folder = run.paths.attempts / f"{shard:05d}" / "4711_0.0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "element").symlink_to("elsewhere")
        os.utime(folder / "element", (began, began), follow_symlinks=False)
    running = ArrayTasks(job_id="4711", tasks=(0,), state=SlurmState.RUNNING, started=began - 1000)
    status = facts_of(run, SlurmAnswer(tasks=[running])).decide()
    states = {each.shard: each.state for each in status.open}
    assert states == {0: ShardState.FAILED, 1: ShardState.RUNNING, 2: ShardState.PENDING}
    assert status.state is RunState.RUNNING
    failed, going, _ = status.open
    assert (failed.message, failed.started, failed.failure_class) == ("it broke", 100.0, FailureClass.APP_FAILED)
    assert going.started == pytest.approx(began)


def test_a_requeued_element_processes_its_failed_shards_again(tmp_path: Path) -> None:
    run = array_run(tmp_path, 2, per_element=2)
    fail(run, 0, "4711_0.0", "app_failed")
    waiting = ArrayTasks(job_id="4711", tasks=(0,), state=SlurmState.PENDING)
    status = facts_of(run, SlurmAnswer(tasks=[waiting])).decide()
    assert {each.state for each in status.open} == {ShardState.PENDING}
