"""submit, cancel, retry and collect with runs that go on by themselves: chains, and jobs that a job has submitted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from sharded_runs import orders, plan, publish, submit_shards

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.operations.cancel import request_cancel
from curator_slurm.launcher.operations.feed import go_on
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import (
    RESTART,
    RESTARTING_S,
    SubmissionRecord,
    collect_jobs,
    collected_after,
    read_submissions,
    write_resubmission,
)
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


def chain(folder: Path, count: int, links: int = 2, **sections: Any) -> Run:
    made = plan(folder, restart={"mechanism": "chain", "max_restarts": links}, **sections)
    launched = submit_shards(folder, count, made)
    assert launched.error is None, launched.error
    return launched.run


def dependencies(fake: FakeSlurm) -> list[str | None]:
    return [job.options.get("dependency") for job in fake.jobs]


def ids(fake: FakeSlurm) -> list[str]:
    return [str(job.id) for job in fake.jobs]


def test_a_chain_is_submitted_at_once(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = chain(tmp_path, 3)
    first, second, third = ids(fake_slurm)
    assert dependencies(fake_slurm) == [None, f"afterany:{first}", f"afterany:{second}"]
    found = [each.record for each in read_submissions(run.paths)]
    assert [(each.number, each.purpose, each.link_of, each.job_id) for each in found] == [
        (0, "submit", None, first),
        (1, RESTART, 0, second),
        (2, RESTART, 0, third),
    ]
    assert registry.load_run(run.paths.root).record.job_ids == (first, second, third)  # type: ignore[union-attr]
    assert status_of(run).state is RunState.PENDING


def test_arrays_that_share_a_limit_wait_for_the_whole_chain_before_them(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    fake_slurm.pause()
    chain(tmp_path, 4, links=1, shards={"files_per_shard": 1, "max_running": 1})
    first, second, third, _ = ids(fake_slurm)
    assert dependencies(fake_slurm) == [None, f"afterany:{first}", f"afterany:{second}", f"afterany:{third}"]


def test_the_collect_job_waits_for_the_chain(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = chain(tmp_path, 2, output={"collect": "auto"})
    assert collected_after(run.paths) == ids(fake_slurm)[:3]


def test_a_chain_without_room_is_shorter(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_submit_jobs=4)
    fake_slurm.pause()
    made = plan(tmp_path, restart={"mechanism": "chain", "max_restarts": 3})
    launched = submit_shards(tmp_path, 2, made)
    assert launched.error is None
    assert len(fake_slurm.jobs) == 2
    assert any("1 of 3 restarts are in the queue" in note for note in launched.notes)
    refused = read_submissions(launched.run.paths)[2].record
    assert (refused.link_of, refused.job_id, refused.may_exist) == (0, None, False)


def test_cancelling_ends_the_whole_chain(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = chain(tmp_path, 2)
    request_cancel(registry.load_run(run.paths.root))
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id, "CANCELLED")
    assert status_of(registry.load_run(run.paths.root)).state is RunState.CANCELLED
    fake_slurm.resume()
    again = retry(registry.load_run(run.paths.root), RetryRequest(), os.environ)
    assert list(again.choice.shards) == [0, 1]
    first, second, _ = ids(fake_slurm)[3:]
    assert dependencies(fake_slurm)[3:] == [None, f"afterany:{first}", f"afterany:{second}"]


def test_a_chain_in_the_queue_is_no_reason_to_retry(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    run = chain(tmp_path, 2)
    assert list(retry(registry.load_run(run.paths.root), RetryRequest(), os.environ).choice.shards) == []


# A job that has submitted the next one


def ended_run(folder: Path, fake: FakeSlurm, **sections: Any) -> Run:
    """Shard 1 of two has been interrupted, and its job has ended."""
    run = submit_shards(folder, 2, plan(folder, **sections), {1: "time_limit"}).run
    fake.wait(fake.jobs[0].id)
    return registry.load_run(run.paths.root)


def resubmit(run: Run, job_id: str | None = None, *, age_s: float = 0.0, number: int = 1) -> SubmissionRecord:
    """What the batch script of element 1 leaves: a folder in its place, and the job id when there is one."""
    record = SubmissionRecord(
        number=-1, purpose=RESTART, prepared=time.time() - age_s, comment=f"curator-slurm:{run.run_id}:", elements=1,
        shards=1, array="1", restart_of="1_1.0",
    )  # fmt: skip
    folder = run.paths.submission(number).root
    write_resubmission(folder, run.paths, record, [Element(1, (1,))], {})
    if job_id is not None:
        (folder / "job-id").write_text(f"{job_id}\n")
    return read_submissions(run.paths)[number].record


def test_a_submission_of_a_batch_script_is_one_like_any_other(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = ended_run(tmp_path, fake_slurm)
    record = resubmit(run, "4711")
    assert (record.number, record.job_id, record.comment) == (1, "4711", f"curator-slurm:{run.run_id}:0001")
    assert record.submitted is not None
    publish(run, 1, "4711_1.0")
    assert status_of(run).state is RunState.COMPLETED


def test_what_is_being_submitted_is_neither_over_nor_retried(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = ended_run(tmp_path, fake_slurm)
    record = resubmit(run)
    assert (record.is_being_submitted, record.is_interrupted) == (True, False)
    assert status_of(run).state is RunState.RESTARTING
    assert list(retry(run, RetryRequest(), os.environ).choice.shards) == []
    assert read_submissions(run.paths)[1].record.lost is None
    assert len(fake_slurm.jobs) == 1


def test_what_was_never_submitted_is_retried_in_the_end(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = ended_run(tmp_path, fake_slurm)
    assert resubmit(run, age_s=RESTARTING_S + 1).is_interrupted
    orders(run, {})
    assert list(retry(run, RetryRequest(), os.environ).choice.shards) == [1]
    assert [each.record.number for each in read_submissions(run.paths)] == [0, 1, 2]


def test_a_number_that_a_batch_script_takes_meanwhile_is_passed_over(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended_run(tmp_path, fake_slurm)
    seen = read_submissions(run.paths)
    resubmit(run, "4711")
    monkeypatch.setattr("curator_slurm.launcher.operations.launch.read_submissions", lambda _: seen)
    monkeypatch.setattr("curator_slurm.launcher.status.reconcile.read_submissions", lambda _: seen)
    orders(run, {})
    retry(run, RetryRequest(), os.environ)
    assert [each.record.purpose for each in read_submissions(run.paths)] == ["submit", RESTART, "retry"]


def test_a_refusal_of_the_next_job_is_an_end(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = ended_run(tmp_path, fake_slurm)
    resubmit(run)
    (run.paths.submission(1).root / "refusal").write_text("sbatch: error: Invalid account\n")
    status = status_of(run)
    assert (status.state, status.done) == (RunState.INCOMPLETE, 1)
    orders(run, {})
    assert list(retry(run, RetryRequest(), os.environ).choice.shards) == [1]


def test_cancel_tells_elements_that_may_be_about_to_go_on(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 1, plan(tmp_path), {0: 600}).run
    element = ClusterPaths(run.paths.elements / "1_0.0", run.paths)
    while not element.heartbeat.exists():
        time.sleep(0.02)
    request_cancel(registry.load_run(run.paths.root))
    assert element.cancelled.exists()
    assert json.loads(run.paths.record.read_text())["cancelled"] is not None


def test_a_cancel_that_slurm_refuses_leaves_no_mark(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 1, plan(tmp_path), {0: 600}).run
    element = ClusterPaths(run.paths.elements / "1_0.0", run.paths)
    while not element.heartbeat.exists():
        time.sleep(0.02)
    fake_slurm.fail_next("scancel", stderr="scancel: error: no\n", times=9)
    with pytest.raises(SlurmError):
        request_cancel(registry.load_run(run.paths.root))
    assert not element.cancelled.exists()


def test_the_collect_job_leaves_a_run_that_goes_on_to_a_further_one(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended_run(tmp_path, fake_slurm, output={"collect": "auto"})
    fake_slurm.pause()
    (tmp_path / "next.sh").write_text("#!/bin/bash\n")
    done = Slurm().submit(["sbatch", "--parsable", "--array=1", str(tmp_path / "next.sh")], tmp_path, "")
    resubmit(run, done.job_id)
    monkeypatch.setenv("SLURM_JOB_ID", collect_jobs(run.paths)[-1])  # that of the one which has begun
    fed = go_on(registry.load_run(run.paths.root), os.environ, lambda _: None)
    assert fed is not None
    assert done.job_id in collected_after(run.paths)
