"""Submissions write down what is to be staged, say it, and remove archives that nobody uses."""

import json
import os

import pytest
from sharded_runs import submit_shards
from staged_models import models_in, plan_with

from curator_slurm.launcher.operations.staged_software import look_at_software, remove_old_archives
from curator_slurm.launcher.staging import store


@pytest.fixture
def models(tmp_path):
    return models_in(tmp_path)


@pytest.fixture
def plan(tmp_path, models):
    return plan_with(tmp_path, models)


def test_a_submission_has_the_key(fake_slurm, tmp_path, plan):
    submitted = submit_shards(tmp_path, 2, plan)
    run = submitted.run.paths
    record = json.loads((run.submissions / "0000/staging.json").read_text())
    assert record["key"] == look_at_software(plan).tree.key
    assert record["files"] == 1
    assert any("the first job packs them" in note for note in submitted.notes)
    assert not any("staging" in path.name for path in run.root.iterdir())


def test_what_cannot_be_seen_is_said(plan, models, tmp_path):
    (models / "weights").unlink()
    models.rmdir()
    (note,) = look_at_software(plan).notes()
    assert "cannot be seen from here" in note
    unknown = plan.model_copy(update={"python": None})
    (note,) = look_at_software(unknown).notes()
    assert "give it as a path" in note


def test_what_is_packed_already_is_said(plan, tmp_path):
    found = look_at_software(plan)
    (tmp_path / "runs").mkdir(exist_ok=True)
    store.pack(tmp_path / "runs", found.tree, None)
    assert any("packed already" in note for note in look_at_software(plan).notes())


def test_archives_that_nobody_uses_go(plan, models, tmp_path):
    (tmp_path / "runs").mkdir(exist_ok=True)
    archives = []
    for text in ("a", "bc", "def"):
        (models / "weights").write_text(text)
        archives.append(store.pack(tmp_path / "runs", look_at_software(plan).tree, None).folder)
    old = 15 * 86400
    for path in (archives[0], *archives[0].iterdir()):
        now = path.stat().st_mtime
        os.utime(path, (now - old, now - old))
    remove_old_archives(plan)
    assert [archive.exists() for archive in archives] == [False, True, True]
    for path in (archives[1], *archives[1].iterdir()):
        now = path.stat().st_mtime
        os.utime(path, (now - 2 * 86400, now - 2 * 86400))
    environment = plan.spec.environment.model_copy(update={"stage_size": "1"})
    remove_old_archives(plan.model_copy(update={"spec": plan.spec.model_copy(update={"environment": environment})}))
    assert [archive.exists() for archive in archives] == [False, False, True]
