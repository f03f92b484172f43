"""Runs of somebody else, or with files that may not be read: every verb says so in words, and none takes it for a bug.

Where root runs the suite, somebody else runs these.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from run_dirs import event, node_status, own_home, progress
from sharded_runs import fail, plan, publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.operations import cancel as cancelling
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run, add_job_ids
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

__all__ = ["own_home"]

pytestmark = [pytest.mark.ordinary_user, pytest.mark.usefixtures("own_home")]

VERBS = (
    ("status",),
    ("status", "--json"),
    ("status", "--shard", "1"),
    ("status", "--failed"),
    ("logs",),
    ("logs", "--all"),
    ("logs", "--shard", "1"),
    ("watch", "--interval", "0.1"),
    ("retry", "--dry-run"),
    ("retry", "--set", "resources.time=10", "--dry-run"),
    ("cancel",),
    ("collect", "--partial"),
)


def left_behind(folder: Path) -> Run:
    """A sharded run of this machine that has ended: shard 0 is done, shard 1 has failed."""
    run = sharded_run(folder, 2, the_plan=plan(folder, Cluster.LOCAL))
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=1, shards=2, job_id="local-1-1", submitted=1.0,
        pid=2**22, pid_started=1.0, host=os.uname().nodename,
    )  # fmt: skip
    write_submission(run.paths, record, [Element(0, (0, 1))], {})
    run = add_job_ids(run, ["local-1-1"])
    attempt = ClusterPaths(run.paths.element("local-1-1", 0), run.paths).attempt(1)
    attempt.cluster.nodes.mkdir(parents=True)
    event(attempt, "agent_started")
    node_status(attempt, "n1", "left")
    publish(run, 0, "local-1-1.0")
    fail(run, 1, "local-1-1.0", "app_failed")
    progress(attempt)
    return run


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_in_words(done: Result, root: Path) -> None:
    """Either it works without what it may not read, or it says what it may not read."""
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code != CuratorSlurmError.exit_code, done.output
    if done.exit_code == StorageError.exit_code:
        assert root.name in done.output, done.output


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling does not wait for a state that nobody can tell, nor watching long for files to be readable again."""
    monkeypatch.setitem(cast(dict[str, Any], cancelling.cancel_run.__kwdefaults__), "patience_s", 0.0)
    monkeypatch.setattr("curator_slurm.launcher.status.watch.UNREADABLE_S", 0.5)


@pytest.mark.usefixtures("impatient")
def test_whatever_may_not_be_read_in_a_run(tmp_path: Path) -> None:
    root = left_behind(tmp_path).paths.root
    places = [root, *sorted(root.rglob("*"))]
    assert len(places) > 25
    for place in places:
        if place == root / "secrets" and not place.exists():
            continue  # the verbs that see the run over remove them
        mode = place.stat().st_mode
        place.chmod(0)
        try:
            for verb, *options in VERBS:
                assert_in_words(call(verb, root, *options), root)
            listed = call("list", "--runs-dir", tmp_path / "runs")
            assert listed.exit_code == 0, listed.output
        finally:
            if place.exists():
                place.chmod(mode)


@pytest.mark.usefixtures("impatient")
def test_what_nobody_can_tell_without_is_named(tmp_path: Path) -> None:
    root = left_behind(tmp_path).paths.root
    for name in ("shards", "submissions", "run.json"):
        mode = (root / name).stat().st_mode
        (root / name).chmod(0)
        listed = call("list", "--runs-dir", tmp_path / "runs").output
        watched, status = call("watch", root, "--interval", "0.1"), call("status", root)
        (root / name).chmod(mode)
        assert watched.exit_code == StorageError.exit_code, watched.output
        assert "unknown" in listed
        for said in (watched.output, status.output):
            assert re.search("ermission denied|you may not read it", said), said


@pytest.mark.usefixtures("impatient")
def test_a_run_in_which_nothing_may_be_changed(tmp_path: Path) -> None:
    """A run that its owner lets others read."""
    root = left_behind(tmp_path).paths.root
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert call("status", root).exit_code == 7
        assert "it broke" in call("logs", root).output
        for verb in (("retry",), ("retry", "--set", "resources.time=10"), ("collect", "--partial")):
            done = call(verb[0], root, *verb[1:])
            assert (done.exit_code, root.name in done.output) == (StorageError.exit_code, True), done.output
    finally:
        for folder in folders:
            folder.chmod(0o700)
