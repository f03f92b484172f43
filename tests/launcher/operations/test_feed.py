"""Runs of more elements than a user may have in the queue: who submits the rest, how often, and never twice."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import own_home
from sharded_runs import plan, submit_shards
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import RunBusyError, SitePolicyError, SlurmError
from curator_slurm.launcher.operations import feed as feed_module
from curator_slurm.launcher.operations.cancel import cancel_run
from curator_slurm.launcher.operations.feed import Fed, feed, feed_once, go_on
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.lock import FEED_LOCK, RunLock
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.submissions import collect_jobs, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of, statuses_of

__all__ = ["own_home"]


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


def limited(folder: Path, limits: Mapping[str, Any], site: Mapping[str, Any] | None = None, **sections: Any) -> Plan:
    """A plan of a site with these limits."""
    return plan(folder, **sections).model_copy(update={"site": {"limits": dict(limits), **(site or {})}})


def end_all(fake: FakeSlurm) -> None:
    for job in fake.jobs:
        fake.wait(job.id)


def each_once(run: Run) -> list[int]:
    """All shards that were submitted, none of them twice."""
    found = Counter(
        shard
        for submission in read_submissions(run.paths)
        if submission.record.job_id
        for element in submission.elements
        for shard in element.shards
    )
    assert set(found.values()) <= {1}, found
    return sorted(found)


def windows(run: Run) -> list[int]:
    return [len(each.elements) for each in read_submissions(run.paths)]


def stops_after(looks: int, then: Callable[[], None] = lambda: None) -> Callable[[float], bool]:
    """What a feed asks between two looks; it stops after so many."""
    left = iter(range(looks - 1, -1, -1))

    def stopped(_seconds: float) -> bool:
        then()
        return next(left) == 0

    return stopped


def test_the_job_that_collects_submits_the_rest(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_submit_jobs=5)
    sections = {"output": {"collect": "auto", "path": str(tmp_path / "dataset")}}
    there = limited(tmp_path, {"submitted_jobs": 5}, **sections).model_copy(update={"slurm_bin": str(fake_slurm.bin)})
    submitted = submit_shards(tmp_path, 9, there)
    (words,) = [note for note in submitted.notes if "limits.submitted_jobs" in note]
    assert "4 of 9 elements are submitted; the job that collects submits more when these have ended" in words
    run = submitted.run
    collected = tmp_path / "dataset" / "_dataset.json"
    logs = lambda: [path.read_text() for path in run.paths.root.glob("collect-*.log")]  # noqa: E731
    wait_for("the dataset", collected.exists, 240)
    assert each_once(run) == list(range(9))
    assert windows(run) == [4, 3, 2], "of five jobs one is the collect job, and while that submits, it is there, too"
    assert not any(each.record.refused for each in read_submissions(run.paths))
    assert len(collect_jobs(run.paths)) == 3, logs()
    end_all(fake_slurm)
    assert status_of(load_run(run.paths.root)).state is RunState.COMPLETED


def test_a_run_goes_on_while_its_collect_job_is_there(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 4, limited(tmp_path, {"submitted_jobs": 3}, output={"collect": "auto"})).run
    (collecting,) = collect_jobs(run.paths)
    fake_slurm.request(collecting, "hold")
    fake_slurm.wait(read_submissions(run.paths)[0].record.job_id or "")
    status = status_of(run)
    assert (status.state, status.done) == (RunState.RUNNING, 2)
    other = submit_shards(tmp_path, 1, limited(tmp_path, {})).run
    assert statuses_of([run, other])[0].state is RunState.RUNNING, "in a list, too"
    assert "the rest is submitted when there is" in status.message
    fake_slurm.request(collecting, "cancel")
    fake_slurm.wait(collecting)
    status = status_of(run)
    assert status.state is RunState.INCOMPLETE
    assert statuses_of([run])[0].state is RunState.INCOMPLETE
    assert "2 shards were never submitted" in status.message
    with RunLock(run.paths.lock(FEED_LOCK), "feed"):
        assert status_of(run).state is RunState.RUNNING


@pytest.mark.long
def test_staying_submits_as_there_is_room(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_submit_jobs=3)
    run = submit_shards(tmp_path, 7, limited(tmp_path, {"submitted_jobs": 3})).run
    told: list[Fed] = []
    last = feed(run, os.environ, told.append, stops_after(9, lambda: end_all(fake_slurm)))
    assert last.is_over
    assert (sum(fed.submitted for fed in told), told[-1].left) == (4, 0)
    assert each_once(run) == list(range(7))
    assert not any(each.record.refused for each in read_submissions(run.paths))
    end_all(fake_slurm)
    assert status_of(run).state is RunState.COMPLETED


@pytest.mark.long
def test_a_full_queue_is_only_counted(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """Of a limit that only Slurm knows, a submission is tried again when there are fewer jobs, not at every look."""
    fake_slurm.configure(max_submit_jobs=2)
    fake_slurm.pause()
    run = submit_shards(tmp_path, 4).run
    tried = len(fake_slurm.calls_of("sbatch"))
    last = feed(run, os.environ, lambda _: None, stops_after(6))
    assert (last.submitted, last.left, last.is_over) == (0, 2, False)
    assert "Slurm refused" in last.why or "sbatch" in last.why
    once = len(fake_slurm.calls_of("sbatch")) - tried
    assert 0 < once <= 2, "two shards are left, then one is tried"
    before = Counter(call[0] for call in fake_slurm.calls)
    feed(run, os.environ, lambda _: None, stops_after(4))
    asked = Counter(call[0] for call in fake_slurm.calls if "--test-only" not in call) - before
    assert asked["squeue"] >= 4, "one for each look"
    assert len(fake_slurm.calls_of("sbatch")) - tried <= 2 * once
    assert each_once(run) == [0, 1]


@pytest.mark.long
def test_what_takes_the_last_room_is_collected_all_the_same(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """Of a limit that only Slurm knows, the elements may leave no room for the job that collects."""
    fake_slurm.configure(max_submit_jobs=1)
    there = plan(tmp_path, output={"collect": "auto", "path": str(tmp_path / "dataset")})
    asked = tmp_path / "asked"
    what = {0: str(asked)}
    submitted = submit_shards(tmp_path, 2, there.model_copy(update={"slurm_bin": str(fake_slurm.bin)}), what)
    run = submitted.run
    assert (windows(run)[-1], collect_jobs(run.paths)) == (1, [])
    asked.touch()
    assert any("was not accepted" in note for note in submitted.notes)
    told: list[Fed] = []
    last = feed(run, os.environ, told.append, stops_after(9, lambda: end_all(fake_slurm)))
    assert (last.left, last.is_over) == (0, True)
    assert each_once(run) == [0, 1]
    assert len(collect_jobs(run.paths)) == 1, told
    wait_for("the dataset", (tmp_path / "dataset" / "_dataset.json").exists, 240)


@pytest.mark.long
def test_a_collect_job_that_leaves_no_room_for_the_next_says_so(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.configure(max_submit_jobs=2)
    fake_slurm.pause()
    run = submit_shards(tmp_path, 3, plan(tmp_path, output={"collect": "auto"})).run
    (first,) = collect_jobs(run.paths)
    assert windows(run)[-1] == 1
    monkeypatch.setenv("SLURM_JOB_ID", first)
    array = read_submissions(run.paths)[-1].record.job_id or ""
    Slurm().cancel([array])
    fake_slurm.wait(array)
    monkeypatch.setattr("curator_slurm.launcher.operations.feed.ROOM_S", 120.0)
    waited: list[float] = []
    fed = go_on(run, os.environ, waited.append)
    assert fed is not None
    assert (fed.submitted, fed.left, len(waited)) == (1, 1, 2)
    assert "the job that publishes the outputs at the end" in fed.why


@pytest.mark.long
def test_two_that_feed_one_run(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 8, limited(tmp_path, {"submitted_jobs": 2})).run
    end_all(fake_slurm)
    threads = [threading.Thread(target=feed_once, args=(run, os.environ)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(each_once(run)) >= 4
    with (
        RunLock(run.paths.lock(FEED_LOCK), "feed"),
        pytest.raises(RunBusyError, match=r"`feed` holds the lock"),
    ):
        feed(run, os.environ, lambda _: None, stops_after(1))


@pytest.mark.long
def test_what_failed_is_not_fed_and_a_cancelled_run_neither(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    there = limited(tmp_path, {"submitted_jobs": 3})
    run = submit_shards(tmp_path, 6, there, {0: "out_of_memory"}).run
    end_all(fake_slurm)
    assert feed_once(run, os.environ).submitted == 3
    end_all(fake_slurm)
    assert feed_once(run, os.environ) == Fed(0, 0, "every shard was submitted.", is_over=True)
    fake_slurm.pause()
    other = submit_shards(tmp_path, 6, there).run
    cancel_run(other)
    fed = feed_once(other, os.environ)
    assert (fed.submitted, fed.left, fed.is_over, fed.why) == (0, 3, True, "the run was cancelled.")
    assert go_on(other, os.environ) is None


@pytest.mark.long
def test_a_refusal_ends_it(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = submit_shards(tmp_path, 4, limited(tmp_path, {"submitted_jobs": 2})).run
    end_all(fake_slurm)
    fake_slurm.fail_next("sbatch", stderr="sbatch: error: invalid account\n")
    with pytest.raises(SlurmError, match="invalid account"):
        feed(run, os.environ, lambda _: None, stops_after(1))
    policy = (
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time"
    )
    for limit in ("QOSMaxWallDurationPerJobLimit", "QOSMinNode", "AssocMaxNodePerJobLimit"):
        fake_slurm.fail_next("sbatch", stderr=f"sbatch: error: {limit}\nsbatch: error: {policy} limits)\n")
        with pytest.raises(SlurmError, match=limit):
            feed(run, os.environ, lambda _: None, stops_after(1))
    fake_slurm.fail_next("squeue", stderr="squeue: error: Unable to contact slurm controller\n", times=4)
    last = feed(run, os.environ, lambda _: None, stops_after(8, lambda: end_all(fake_slurm)))
    assert (last.left, last.is_over) == (0, True), "a controller that is away is waited for"


@pytest.mark.long
def test_the_collect_job_leaves_what_it_cannot_do(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"submitted_jobs": 3}
    there = limited(tmp_path, limits, output={"collect": "auto"}, environment={"secrets": ["TOKEN"]})
    run = submit_shards(tmp_path, 4, there).run
    (collecting,) = collect_jobs(run.paths)
    fake_slurm.request(collecting, "hold")
    fed = go_on(run, {"TOKEN": "x"})
    assert fed is not None
    assert (fed.submitted, fed.left, fed.is_over) == (0, 2, True)
    assert "environment.secrets" in fed.why
    fake_slurm.request(collecting, "cancel")
    end_all(fake_slurm)

    full = submit_shards(tmp_path, 4, limited(tmp_path, limits)).run
    end_all(fake_slurm)
    fake_slurm.pause()
    submit_shards(tmp_path, 3)
    monkeypatch.setattr("curator_slurm.launcher.operations.feed.ROOM_S", 120.0)
    waited: list[float] = []
    fed = go_on(full, os.environ, waited.append)
    assert fed is not None
    assert (fed.submitted, fed.left, len(waited)) == (0, 1, 2)
    assert "and there are as many" in fed.why


@pytest.mark.long
def test_a_collect_job_without_slurm_collects(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = submit_shards(tmp_path, 2, plan(tmp_path, output={"collect": "auto"})).run
    end_all(fake_slurm)
    part = submit_shards(tmp_path, 3, limited(tmp_path, {"submitted_jobs": 2})).run
    failed = submit_shards(tmp_path, 1, plan(tmp_path), {0: "die"}).run
    end_all(fake_slurm)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("curator_slurm.launcher.operations.feed.ROOM_S", 0.0)
    assert go_on(done, os.environ) is None
    assert go_on(failed, os.environ) is None
    fed = go_on(part, os.environ)
    assert fed is not None
    assert (fed.submitted, fed.left, fed.is_over) == (0, 1, True)
    assert "not found" in fed.why or "is not on" in fed.why


def test_a_limit_of_the_partition_counts_its_own_jobs(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    submit_shards(tmp_path, 3)  # these stand in the partition `main`, as all here
    here = limited(
        tmp_path, {}, {"partitions": {name: {"limits": {"submitted_jobs": 2}} for name in ("main", "short")}}
    )
    submitted = submit_shards(tmp_path, 3, here.model_copy(update={"placed": ["short"]}))
    assert windows(submitted.run) == [2]
    (words,) = [note for note in submitted.notes if "elements are submitted" in note]
    assert "a user 2 jobs in the queue (partition_defaults.limits.submitted_jobs in a site file): 2 of 3" in words
    with pytest.raises(SitePolicyError, match="and there are as many"):
        submit_shards(tmp_path, 3, here.model_copy(update={"placed": ["main"]}))
    for facts in ({"slurm_name": "main"}, {"option_partition": False}):
        other = limited(tmp_path, {}, {"partitions": {"main-gpu": {"limits": {"submitted_jobs": 2}, **facts}}})
        with pytest.raises(SitePolicyError, match="and there are as many"):
            submit_shards(tmp_path, 3, other.model_copy(update={"placed": ["main-gpu"]}))


def five_shards(tmp_path: Path, site: str) -> tuple[list[str], dict[str, str]]:
    """A command that submits five shards and feeds, and its environment."""
    (tmp_path / "data").mkdir()
    for number in range(5):
        (tmp_path / "data" / f"{number}.jsonl").write_text("{}\n")
    site_file, spec = tmp_path / "site.yaml", tmp_path / "spec.yaml"
    site_file.write_text(site)
    for path in (site_file, spec):
        path.touch(mode=0o600)
    spec.write_text(
        yaml.safe_dump(
            {
                "name": "demo",
                "pipeline": {"command": "true"},
                "input": {"paths": [f"{tmp_path}/data/*.jsonl"]},
                "shards": {"files_per_shard": 1},
                "storage": {"runs": str(tmp_path / "runs")},
                "environment": {"python": sys.executable},
            }
        )
    )
    command = [sys.executable, "-m", "curator_slurm", "submit", str(spec), "--feed"]
    return command, {**os.environ, "CURATOR_SLURM_SITE": str(site_file), "PYTHONUNBUFFERED": "1"}


def test_json_has_the_jobs_that_were_submitted_later(
    fake_slurm: FakeSlurm, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever feeds a run tells people that it waits."""
    fake_slurm.pause()
    notices = tmp_path / "notices"
    notify = f"notify: {{command: 'echo $CURATOR_SLURM_NOTICE_EVENT >>{notices}', waiting_hours: 1e-9}}\n"
    command, environment = five_shards(tmp_path, f"limits: {{submitted_jobs: 3}}\n{notify}")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(feed_module, "FEED_S", 0.1)

    def make_room() -> None:
        wait_for("the first jobs", lambda: fake_slurm.jobs, 60)
        wait_for("a notice", notices.exists, 60)
        subprocess.run(["scancel", str(fake_slurm.jobs[0].id)], check=True, env=environment)

    with concurrent.futures.ThreadPoolExecutor() as beside:
        room = beside.submit(make_room)
        done = CliRunner().invoke(main, [*command[3:], "--json"])
        room.result()
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["job_ids"] == [str(job.id) for job in fake_slurm.jobs]
    assert [len(job.elements) for job in fake_slurm.jobs] == [3, 2]
    assert notices.read_text().splitlines()[0] == "waiting"


@pytest.mark.long
def test_ctrl_c_says_what_remains(fake_slurm: FakeSlurm, own_home: Path, tmp_path: Path) -> None:
    fake_slurm.pause()
    command, environment = five_shards(tmp_path, "limits: {submitted_jobs: 2}\n")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "and there are as many" in line:
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate()
    output = "".join(lines) + rest
    assert process.returncode == 130, output
    assert "3 shards wait for room in the queue; Ctrl-C stops submitting, not the run" in output
    assert "Stopped submitting. 3 shards are not submitted: `curator-slurm retry" in output
    assert [len(job.elements) for job in fake_slurm.jobs] == [2]
