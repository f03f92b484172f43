"""What the first node packs: what was submitted, or what is there now; and nothing that goes wrong ends a run."""

import json

import pytest
from staged_models import models_in, plan_with

from curator_slurm.launcher.agent.pack_software import archive_of, main
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths
from curator_slurm.launcher.runs.staging_record import submitted_key
from curator_slurm.launcher.staging import store
from curator_slurm.launcher.staging.software import roots_of
from curator_slurm.launcher.staging.tree import tree_of


@pytest.fixture
def models(tmp_path):
    return models_in(tmp_path)


@pytest.fixture
def plan(tmp_path, models):
    return plan_with(tmp_path, models)


def key_of(folder):
    return tree_of(roots_of(None, [str(folder)])).key


def test_packed_once(plan, models, capsys):
    key = key_of(models)
    first = archive_of(plan, "/usr/bin/python3", key)
    assert first.name == key
    assert "packed 1 file," in capsys.readouterr().err
    assert archive_of(plan, "/usr/bin/python3", key) == first
    assert archive_of(plan, "/usr/bin/python3", "") == first
    assert capsys.readouterr().err == ""


def test_what_was_submitted_is_used_while_it_is_packed(plan, models, capsys):
    key = key_of(models)
    first = archive_of(plan, "/usr/bin/python3", key)
    (models / "weights").write_text("4 5 6 7")
    assert archive_of(plan, "/usr/bin/python3", key) == first
    second = archive_of(plan, "/usr/bin/python3", key_of(models))
    assert second != first


def test_what_has_changed_since_is_said(plan, models, capsys):
    key = key_of(models)
    (models / "weights").write_text("4 5 6 7")
    assert archive_of(plan, "/usr/bin/python3", key).name == key_of(models) != key
    assert "changed after the run was submitted" in capsys.readouterr().err


def test_nothing_to_stage(plan, capsys):
    environment = plan.spec.environment.model_copy(update={"stage_paths": []})
    plan = plan.model_copy(update={"spec": plan.spec.model_copy(update={"environment": environment})})
    assert archive_of(plan, "/usr/bin/python3", "") is None
    assert "nothing to stage" in capsys.readouterr().err


def test_a_change_while_it_is_packed(plan, models, monkeypatch, tmp_path):
    """Looked at once more after packing: what was torn is packed again, and nobody finds it."""
    real, changes = store.write_archive, iter(["4", "5 6"])

    def write(tree, path, kind):
        written = real(tree, path, kind)
        if (text := next(changes, None)) is not None and len(text) == 1:
            (models / "more").write_text(text)
        return written

    monkeypatch.setattr(store, "write_archive", write)
    folder = archive_of(plan, "/usr/bin/python3", key_of(models))
    assert folder.name == key_of(models)
    assert json.loads((folder / "index.json").read_text())["files"] == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("harm", ["missing", "plan"])
def test_nothing_that_goes_wrong_ends_a_run(harm, plan, tmp_path, capsys, models):
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    if harm == "plan":
        (run / "plan.yaml").write_text(plan.to_yaml())
        (run / "plan.yaml").chmod(0o600)
        (models / "weights").unlink()
        models.rmdir()
    assert main(["--run-dir", str(run), "--python", "/usr/bin/python3"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "used from shared storage" in said.err


def test_somebody_elses_folder_of_archives(plan, tmp_path, capsys, models, monkeypatch):
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    (run / "plan.yaml").write_text(plan.to_yaml())
    (run / "plan.yaml").chmod(0o600)
    monkeypatch.setattr("curator_slurm.launcher.runs.owners.is_own", lambda _: False)
    assert main(["--run-dir", str(run)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "belongs to" in said.err


def test_keys_of_submissions(tmp_path):
    """A submission that a run makes for itself has none: that of an earlier one counts, and never a later one's."""
    run = RunPaths(tmp_path)
    for number, key in ((0, "aaa"), (1, None), (2, "ccc"), (3, "../x")):
        submission = SubmissionPaths(run.submissions / f"{number:04d}", run)
        submission.root.mkdir(parents=True)
        if key:
            submission.staging.write_text(json.dumps({"key": key}))
    of = [submitted_key(run, SubmissionPaths(run.submissions / f"{number:04d}", run)) for number in range(4)]
    assert of == ["aaa", "aaa", "ccc", "ccc"]
    assert submitted_key(run, None) == "ccc"
    assert submitted_key(RunPaths(tmp_path / "none"), None) == ""
