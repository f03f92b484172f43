"""Submitting arrays: what reaches sbatch, what is recorded, and what is left when something goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from sharded_runs import plan, submit_shards

from curator_slurm.launcher.errors import SitePolicyError, SlurmError, StorageError
from curator_slurm.launcher.operations.launch import Launched
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of

LIMIT = (
    "sbatch: error: AssocMaxSubmitJobLimit\n"
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)\n"
)
DOWN = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n"
LOST = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


def submit(
    folder: Path, count: int, cluster: Cluster = Cluster.SLURM, what: dict[int, Any] | None = None, **sections: Any
) -> Launched:
    return submit_shards(folder, count, plan(folder, cluster, **sections), what).launched


def only_run(folder: Path) -> Run:
    (path,) = registry.run_directories([folder / "runs"])
    return registry.load_run(path)


def test_one_sbatch_call_for_each_array(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=3)
    launched = submit(
        tmp_path, 13, shards={"files_per_shard": 1, "per_element": 2, "max_running": 4}
    )  # 7 elements, 3 arrays of at most 3
    run = only_run(tmp_path)
    assert launched.error is None
    calls = fake_slurm.calls_of("sbatch")
    assert [call[2:5] for call in calls] == [
        ["--array=0-2%2", f"--comment=curator-slurm:{run.run_id}:0000", str(run.paths.script)],
        ["--array=0-1%1", f"--comment=curator-slurm:{run.run_id}:0001", str(run.paths.script)],
        ["--array=0-1%1", f"--comment=curator-slurm:{run.run_id}:0002", str(run.paths.script)],
    ]
    assert [call[-2:] for call in calls] == [[number, run.run_id] for number in ("0000", "0001", "0002")]
    assert fake_slurm.calls_of("scontrol") == [["show", "config"]]
    submissions = read_submissions(run.paths)
    assert [s.record.job_id for s in submissions] == launched.job_ids == [str(job.id) for job in fake_slurm.jobs]
    assert [shard for s in submissions for element in s.elements for shard in element.shards] == list(range(13))
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    assert set(done_shards(run.paths)) == set(range(13))
    decision = status_of(run)
    assert (decision.state, decision.done, decision.total) == (RunState.COMPLETED, 13, 13)


@pytest.mark.long
def test_the_sites_limit_of_jobs_in_the_queue(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    frozen = plan(tmp_path, Cluster.SLURM, shards={"files_per_shard": 1})
    site = {"limits": {"submitted_jobs": 5}, "site": {"contact": "help@lab"}}
    limited = frozen.model_copy(update={"site": site, "origins": {"limits.submitted_jobs": "site.yaml:3"}})
    fake_slurm.configure(max_array_size=4)
    fake_slurm.pause()
    first = submit_shards(tmp_path, 7, limited)
    assert [call[2] for call in fake_slurm.calls_of("sbatch")] == ["--array=0-3", "--array=0-0"]
    (words,) = [note for note in first.notes if "limits.submitted_jobs" in note]
    assert "a user 5 jobs in the queue (limits.submitted_jobs in site.yaml:3): 5 of 7 elements are submitted" in words
    assert f"`curator-slurm retry {first.run.run_id}`" in words
    with pytest.raises(
        SitePolicyError,
        match=r"and there are as many\. Submit again once some have ended, or with --feed.*; questions: help",
    ):
        retry(first.run, RetryRequest(), {})
    fake_slurm.resume()
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    assert status_of(first.run).done == 5
    again = retry(first.run, RetryRequest(), {})
    assert again.launched is not None
    assert not any("limits.submitted_jobs" in warning for warning in again.warnings)
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    assert status_of(registry.load_run(first.run.paths.root)).state is RunState.COMPLETED


def test_a_run_is_found_by_the_job_ids_of_all_its_arrays(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    launched = submit(tmp_path, 4)
    for job_id in launched.job_ids:
        assert registry.find_run(f"{job_id}_1", [tmp_path / "runs"]).run_id == launched.run.run_id


def test_the_users_own_comment_stays(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    submit(tmp_path, 1, resources={"sbatch": {"comment": "project 7"}})
    (job,) = fake_slurm.jobs
    assert job.comment == f"project 7 curator-slurm:{only_run(tmp_path).run_id}:0000"


def test_a_cluster_without_arrays(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=0)
    with pytest.raises(SlurmError, match="MaxArraySize"):
        submit(tmp_path, 4)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("stderr", "transient"), [(LIMIT, False), (DOWN, True)])
def test_what_was_accepted_before_a_refusal_is_recorded(
    fake_slurm: FakeSlurm, tmp_path: Path, stderr: str, transient: bool
) -> None:
    fake_slurm.configure(max_array_size=2)
    fake_slurm.fail_next("sbatch", returncode=0, instead=False, times=2)
    fake_slurm.fail_next("sbatch", stderr=stderr, times=9)
    launched = submit(tmp_path, 10)
    assert isinstance(launched.error, SlurmError)
    assert (len(launched.accepted), launched.missing) == (2, 6)
    run = only_run(tmp_path)
    submissions = read_submissions(run.paths)
    assert [bool(s.record.job_id) for s in submissions[:3]] == [True, True, False]
    assert len(submissions) == (3 if transient else 4)
    assert all(s.record.refused and not s.record.is_interrupted for s in submissions[2:])
    assert len(fake_slurm.calls_of("sbatch")) == 4  # the array again; or its first half
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    decision = status_of(run)
    assert (decision.state, decision.done) == (RunState.INCOMPLETE, 4)
    assert "retry" in decision.next_step
    assert "6 shards were never submitted" in decision.message


def test_nothing_is_left_when_the_first_array_is_refused(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_submit_jobs=0)
    with pytest.raises(SlurmError, match=r"(?s)AssocMaxSubmitJobLimit.*10 array elements.*shards\.per_element"):
        submit(tmp_path, 10)
    assert len(fake_slurm.calls_of("sbatch")) == 4  # 10, 5, 2, 1
    assert registry.run_directories([tmp_path / "runs"]) == []


@pytest.mark.long
def test_as_much_is_submitted_as_may_be_in_the_queue(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_submit_jobs=7, max_array_size=10)
    launched = submit(tmp_path, 20, shards={"files_per_shard": 1, "max_running": 3})
    assert (len(launched.accepted), launched.missing) == (1, 15)
    assert "retry" in launched.problem
    assert "each array element counts as one" in launched.problem
    assert launched.shards == [0, 1, 2, 3, 4]
    assert [call[2] for call in fake_slurm.calls_of("sbatch")] == ["--array=0-9%2", "--array=0-4%2"]
    run = only_run(tmp_path)
    for _ in range(5):
        for job in fake_slurm.jobs:
            fake_slurm.wait(job.id)
        if status_of(run).state is RunState.COMPLETED:
            break
        retry(run, RetryRequest(), {})
    assert set(done_shards(run.paths)) == set(range(20))
    submitted = [
        shard for s in read_submissions(run.paths) if s.record.job_id for e in s.elements for shard in e.shards
    ]
    assert sorted(submitted) == list(range(20)), "a shard was submitted twice"


def test_an_answer_that_was_lost_is_found_by_its_comment(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    submit(tmp_path, 4)
    fake_slurm.fail_next("sbatch", stderr=LOST, returncode=1, instead=False)
    # The fake does the work and says that it failed.
    launched = submit(tmp_path, 4)
    assert launched.error is None
    assert len(fake_slurm.jobs) == 4
    assert launched.job_ids == [str(job.id) for job in fake_slurm.jobs[2:]]


def test_storage_that_fills_up_before_the_first_array(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr("curator_slurm.launcher.operations.launch.write_submission", full)
    with pytest.raises(StorageError):
        submit(tmp_path, 4)
    assert registry.run_directories([tmp_path / "runs"]) == []
    assert fake_slurm.calls_of("sbatch") == []


def test_a_local_run_does_its_shards_in_a_row(tmp_path: Path) -> None:
    from curator_slurm.launcher.local_process import wait_for_end

    launched = submit(tmp_path, 5, Cluster.LOCAL)
    (submission,) = launched.accepted
    assert submission.record.pid is not None
    assert [element.shards for element in submission.elements] == [(0, 1, 2, 3, 4)]
    assert wait_for_end(submission.record.pid, submission.record.pid_started, 60)
    run = only_run(tmp_path)
    assert status_of(run).state is RunState.COMPLETED
    assert json.loads(run.paths.record.read_text())["job_ids"] == [submission.record.job_id]


def test_a_local_run_whose_process_died(tmp_path: Path) -> None:
    from curator_slurm.launcher.local_process import wait_for_end

    launched = submit(tmp_path, 3, Cluster.LOCAL, {1: "die"})
    record = launched.accepted[0].record
    assert record.pid is not None
    assert wait_for_end(record.pid, record.pid_started, 60)
    decision = status_of(launched.run)
    assert (decision.state, decision.done) == (RunState.INCOMPLETE, 1)
