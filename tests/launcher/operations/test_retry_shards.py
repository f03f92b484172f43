"""retry: only what is not done and not active, once, with the settings that are asked for."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_slurm import FakeSlurm
from sharded_runs import fail, orders, plan, publish, submit_shards

from curator_slurm.launcher.errors import SlurmError, SpecError, UsageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.operations.retry import Retry, RetryRequest, preview, retry
from curator_slurm.launcher.operations.select_shards import Selection
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.ask_slurm import complete
from curator_slurm.launcher.status.gather import status_of

DOWN = "squeue: error: Unable to contact slurm controller (connect failure)\n"


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


def submitted(folder: Path, fake: FakeSlurm, count: int, what: dict[int, Any] | None = None, **sections: Any) -> Run:
    """A run whose elements have done what they were told to, and have ended."""
    launched = submit_shards(folder, count, plan(folder, **sections), what)
    assert launched.error is None
    wait(fake)
    return launched.run


def wait(fake: FakeSlurm) -> None:
    for job in fake.jobs:
        fake.wait(job.id)


def again(run: Run, *set_options: str, classes: Sequence[str] = (), shards: Sequence[int] | None = None) -> Retry:
    selection = Selection([FailureClass(name) for name in classes], shards)
    return retry(registry.load_run(run.paths.root), RetryRequest(selection, set_options), os.environ)


def test_only_what_is_not_done_is_submitted_again(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 6, {1: "out_of_memory", 4: "die"})
    before = status_of(run)
    assert (before.state, before.done) == (RunState.INCOMPLETE, 4)
    assert before.classes == {FailureClass.OUT_OF_MEMORY: [1], FailureClass.UNKNOWN: [4]}
    orders(run, {})
    result = again(run)
    assert result.choice.shards == [1, 4]
    assert result.choice.why == {"out_of_memory": 1, "unknown": 1}
    wait(fake_slurm)
    assert status_of(run).state is RunState.COMPLETED
    assert [s.record.purpose for s in read_submissions(run.paths)] == ["submit", "retry"]
    assert len(list(run.paths.attempts.glob("00001/*"))) == 2
    assert again(run).choice.shards == []
    assert len(fake_slurm.calls_of("sbatch")) == 2


def test_what_is_active_is_left_alone(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    the_plan = plan(tmp_path)
    run = submit_shards(tmp_path, 3, the_plan).run
    assert again(run).choice.shards == []
    named = again(run, shards=[1])
    assert named.choice.passed_over == {1: "pending"}
    assert len(fake_slurm.calls_of("sbatch")) == 1


@pytest.mark.long
def test_two_at_once_submit_once(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 4, {2: "app_failed"})
    fake_slurm.pause()
    results = []
    threads = [threading.Thread(target=lambda: results.append(again(run))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result.choice.shards) for result in results) == [0, 0, 1]
    assert len(fake_slurm.calls_of("sbatch")) == 2


def test_by_class_and_by_shard(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 6, {0: "out_of_memory", 1: "out_of_memory", 2: "node_failed", 3: "die"})
    selection = Selection([FailureClass.OUT_OF_MEMORY, FailureClass.UNKNOWN])
    assert preview(run, RetryRequest(selection), {}).choice.shards == [0, 1, 3]
    named = preview(run, RetryRequest(Selection((), [2, 3, 5])), {})
    assert (named.choice.shards, named.choice.passed_over) == ([2, 3], {5: "done"})
    both = preview(run, RetryRequest(Selection([FailureClass.NODE_FAILED], [1, 2])), {})
    assert (both.choice.shards, both.choice.passed_over) == ([2], {1: "out_of_memory"})
    with pytest.raises(UsageError, match="no shard 6,9"):
        preview(run, RetryRequest(Selection((), [1, 6, 9])), {})
    assert len(fake_slurm.calls_of("sbatch")) == 1


def test_changed_resources_have_a_plan_and_a_script_of_their_own(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 2, {1: "out_of_memory"}, resources={"mem_per_node": "1G"})
    plan_before, script_before = run.paths.plan.read_bytes(), run.paths.script.read_bytes()
    again(run, "resources.mem_per_node=2G")
    submission = read_submissions(run.paths)[1]
    assert submission.record.changes == {"resources.mem_per_node": "2G"}
    new = yaml.safe_load(submission.paths.plan.read_text())
    assert new["spec"]["resources"]["mem_per_node"] == "2G"
    assert new["origins"]["resources.mem_per_node"] == "retry --set"
    assert "#SBATCH --mem=2G\n" in submission.paths.script.read_text()
    assert fake_slurm.calls_of("sbatch")[1][-3:] == [str(submission.paths.script), "0001", run.run_id]
    assert (run.paths.plan.read_bytes(), run.paths.script.read_bytes()) == (plan_before, script_before)


def test_settings_of_the_last_attempt_are_kept(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 3, {0: "out_of_memory", 1: "out_of_memory"})
    fake_slurm.fail_next("sbatch", stderr="sbatch: error: Batch job submission failed: Invalid qos specification\n")
    with pytest.raises(SlurmError, match="qos"):
        again(run, "resources.sbatch.qos=nope")
    again(run, "resources.mem_per_node=2G", shards=[0])
    wait(fake_slurm)
    kept = preview(run, RetryRequest(Selection((), [0]), ["resources.time=9"]), {})
    assert kept.changes == {"resources.mem_per_node": "2G", "resources.time": "9"}
    mixed = preview(run, RetryRequest(), {})
    assert (mixed.choice.shards, mixed.changes) == ([0, 1], {})
    assert "different settings" in mixed.warnings[0]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("name=other", "name of the run"),
        ("pipeline.command=false", "determines the outputs"),
        ("executor.backend=ray_data", r"only executor\.config"),
        ("input.paths=/data", "fixed when the run was submitted"),
        ("output.path=/else", "publish to the same place"),
        ("storage.runs=/else", "cannot move"),
        ("resources.nodes=0", "at least 1"),
        ("resources.mem_per_nod=2G", "mem_per_node"),
        ("nonsense", "KEY=VALUE"),
    ],
)
def test_settings_that_may_not_change(fake_slurm: FakeSlurm, tmp_path: Path, option: str, reason: str) -> None:
    run = submitted(tmp_path, fake_slurm, 1, {0: "app_failed"})
    with pytest.raises(SpecError, match=reason):
        again(run, option)
    assert len(fake_slurm.calls_of("sbatch")) == 1


def test_secrets_are_collected_again(fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = submitted(tmp_path, fake_slurm, 1, {0: "app_failed"}, environment={"secrets": ["MY_TOKEN"]})
    shutil.rmtree(run.paths.secrets)
    with pytest.raises(SpecError, match="MY_TOKEN"):
        again(run)
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    again(run)
    assert json.loads(run.paths.secret_environment.read_text()) == {"MY_TOKEN": "s3cret"}
    assert run.paths.secret_environment.stat().st_mode & 0o077 == 0


def test_without_slurms_answer_nothing_is_submitted(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 2, {0: "app_failed"})
    fake_slurm.fail_next("squeue", stderr=DOWN, times=9)
    with pytest.raises(SlurmError, match="cannot tell what is still running"):
        again(run)
    assert len(fake_slurm.calls_of("sbatch")) == 1


@pytest.mark.long
def test_the_limit_counts_what_is_still_under_way(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    limit = {"files_per_shard": 1, "max_running": 2}
    run = submitted(tmp_path, fake_slurm, 4, dict.fromkeys(range(4), "app_failed"), shards=limit)
    fake_slurm.pause()
    again(run, shards=[0])
    again(run, shards=[1, 2])
    again(run, shards=[3])
    calls = fake_slurm.calls_of("sbatch")[1:]
    second, third = (str(job.id) for job in fake_slurm.jobs[1:3])
    assert [call[2] for call in calls] == ["--array=0-0", "--array=0-1%1", "--array=0-0"]
    assert [option for option in calls[2] if "dependency" in option] == [f"--dependency=afterany:{second}:{third}"]


def test_a_shard_that_was_published_before_its_element_died_is_done(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 2, {1: "die"})
    publish(run, 1)
    run.paths.done(1).unlink()
    assert again(run).choice.shards == []
    assert run.paths.done(1).exists()


# Interrupted submissions


def kill_before_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """End `submit` between sbatch and its own records."""
    from curator_slurm.launcher.runs.submissions import Submission

    monkeypatch.setattr(Submission, "update", lambda self, **changes: (_ for _ in ()).throw(KeyboardInterrupt))


def interrupted(folder: Path, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, count: int = 4) -> Run:
    the_plan = plan(folder)
    with monkeypatch.context() as patch:
        kill_before_record(patch)
        with pytest.raises(KeyboardInterrupt):
            submit_shards(folder, count, the_plan)
    (path,) = registry.run_directories([folder / "runs"])
    assert read_submissions(registry.load_run(path).paths)[0].record.job_id is None
    return registry.load_run(path)


def test_a_job_whose_record_was_lost_is_found_by_its_comment(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.pause()
    run = interrupted(tmp_path, fake_slurm, monkeypatch)
    assert status_of(run).state is RunState.PENDING
    record = read_submissions(run.paths)[0].record
    assert (record.job_id, record.recovered) == (str(fake_slurm.jobs[0].id), True)
    assert again(run).choice.shards == []
    assert len(fake_slurm.calls_of("sbatch")) == 1
    job_id = fake_slurm.jobs[0].id
    assert registry.find_run(str(job_id), [tmp_path / "runs"]).run_id == run.run_id


def test_a_job_that_slurm_forgot_is_found_by_what_it_left(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(tmp_path, fake_slurm, monkeypatch)
    wait(fake_slurm)
    job_id = str(fake_slurm.jobs[0].id)
    shutil.rmtree(fake_slurm.folder / "jobs")
    (fake_slurm.folder / "jobs").mkdir()
    assert status_of(run).state is RunState.COMPLETED
    again(run)
    assert read_submissions(run.paths)[0].record.job_id == job_id


def test_a_submission_that_never_reached_slurm_is_submitted_again(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_plan = plan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "curator_slurm.launcher.operations.launch._submit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            submit_shards(tmp_path, 3, the_plan)
    (path,) = registry.run_directories([tmp_path / "runs"])
    run = registry.load_run(path)
    assert status_of(run).state is RunState.FAILED
    assert again(run).choice.why == {"not submitted": 3}
    wait(fake_slurm)
    assert status_of(run).state is RunState.COMPLETED
    assert read_submissions(run.paths)[0].record.lost is not None
    assert len(fake_slurm.calls_of("sbatch")) == 1


def test_failures_without_files_are_told_by_slurm(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submitted(tmp_path, fake_slurm, 3, {0: "die", 1: "die", 2: "die"})
    job_id = fake_slurm.jobs[0].id
    fake_slurm.set_state(f"{job_id}_0", "OUT_OF_MEMORY")
    fake_slurm.set_state(f"{job_id}_1", "TIMEOUT")
    fail(run, 2, f"{job_id}_2.0", "storage", "disk full")
    assert status_of(run).classes == {
        FailureClass.OUT_OF_MEMORY: [0],
        FailureClass.TIME_LIMIT: [1],
        FailureClass.STORAGE: [2],
    }


def test_a_list_of_tasks_that_squeue_cut_short_stands_for_all_the_others() -> None:
    from curator_slurm.launcher.runs.paths import RunPaths
    from curator_slurm.launcher.runs.shard_records import Element
    from curator_slurm.launcher.runs.submissions import Submission, SubmissionRecord
    from curator_slurm.launcher.slurm.parse import parse_arrays

    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=5, shards=5, job_id="4711", submitted=1.0
    )
    elements = tuple(Element(number, (number,)) for number in range(5))
    submission = Submission(RunPaths(Path("/run")).submission(0), record, elements)
    text = "4711|1,3,...%5|PENDING|N/A|N/A|Resources\n4711|0|RUNNING|N/A|N/A|None\n4711|2|FAILED|N/A|N/A|None\n"
    rest, running, failed = complete(parse_arrays(text), [submission])
    assert (rest.tasks, running.tasks, failed.tasks) == ((1, 3, 4), (0,), (2,))
