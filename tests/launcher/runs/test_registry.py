"""The registry: what is written, and how runs are found again."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from run_dirs import new_run, own_home, renamed, submitted_run

from curator_slurm.launcher.errors import RunNotFoundError, StorageError
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.known_folders import default_folder, known_folders, remember_folder

__all__ = ["own_home"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_run_is_whole_and_private(tmp_path: Path) -> None:
    run = new_run(tmp_path, secret_environment={"HF_TOKEN": "hf_secret"})
    assert registry.RUN_ID.match(run.run_id)
    assert run.paths.root.parent == tmp_path / "demo"
    assert mode(run.paths.root) == 0o700
    assert mode(run.paths.secrets) == 0o700
    assert mode(run.paths.secret_environment) == 0o600
    assert mode(run.paths.record) == 0o600
    assert json.loads(run.paths.secret_environment.read_text()) == {"HF_TOKEN": "hf_secret"}
    assert "hf_secret" not in run.paths.record.read_text() + run.paths.plan.read_text()
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [run.run_id]
    assert registry.load_run(run.paths.root).record == run.record


def test_ids_sort_by_time() -> None:
    ids = [registry.new_run_id(1_795_000_000 + step * 3600) for step in range(50)]
    assert ids == sorted(ids)


def test_the_record_keeps_job_ids_and_cancellation(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run = registry.add_job_ids(run, ["1"])
    stale = run
    run = registry.add_job_ids(run, ["1", "local-10-000001"])
    registry.mark_cancelled(stale, 99.0)
    record = registry.load_run(run.paths.root).record
    assert record is not None
    assert record.job_ids == ("1", "local-10-000001")
    assert record.cancelled == 99.0


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    data = json.loads(run.paths.record.read_text())
    data["new"] = 1
    run.paths.record.write_text(json.dumps(data))
    loaded = registry.load_run(run.paths.root)
    assert loaded.record == run.record
    assert not loaded.problem


@pytest.mark.parametrize(("schema", "which"), [(1, "older"), (99, "newer")])
def test_a_run_of_another_version_is_told_apart(tmp_path: Path, schema: int, which: str) -> None:
    run = new_run(tmp_path)
    data = json.loads(run.paths.record.read_text())
    run.paths.record.write_text(json.dumps({**data, "schema": schema, "version": "0.9"}))
    loaded = registry.load_run(run.paths.root)
    assert loaded.record is None
    assert f"by curator-slurm 0.9 in the {which} format {schema}" in loaded.problem
    assert "submit its spec again" in loaded.problem


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', '{"run_id": 1, "name": 2, "job_ids": [3]}'])
def test_a_damaged_record_is_a_problem_and_no_crash(tmp_path: Path, content: str) -> None:
    run = new_run(tmp_path)
    run.paths.record.write_text(content)
    loaded = registry.load_run(run.paths.root)
    assert loaded.record is None
    assert "damaged" in loaded.problem
    assert loaded.name == "demo"


def test_a_folder_that_cannot_be_written_says_what_else_to_do(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match=r"storage\.runs"):
        new_run(blocked)


def test_a_run_that_was_refused_leaves_nothing(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    registry.remove_run(run)
    assert list(tmp_path.iterdir()) == []


def test_finding_by_id_prefix_name_job_and_path(tmp_path: Path) -> None:
    old = submitted_run(tmp_path, "100", name="alpha")
    new = renamed(submitted_run(tmp_path, "200", name="alpha"), "29990101-000000-aaaa")
    other = renamed(submitted_run(tmp_path, "local-1795-000042", name="beta", cluster="local"), "29990102-000000-bbbb")
    find = lambda text: registry.find_run(text, [tmp_path]).run_id  # noqa: E731
    assert find(old.run_id) == old.run_id
    assert find("29990102") == other
    assert find("alpha") == new
    assert find("100") == old.run_id
    assert find("200_12") == new
    assert find("local-1795-000042") == other
    assert find(str(old.paths.root)) == old.run_id
    assert find(str(old.paths.attempts / "00000" / "100.0" / "nothing")) == old.run_id
    assert find(os.path.relpath(old.paths.script)) == old.run_id
    assert registry.latest_run([tmp_path]).run_id == other


def test_an_ambiguous_prefix_lists_the_candidates(tmp_path: Path) -> None:
    ids = [renamed(submitted_run(tmp_path, str(n)), f"29990101-00000{n}-aaaa") for n in range(3)]
    with pytest.raises(RunNotFoundError) as caught:
        registry.find_run("2999", [tmp_path])
    assert all(run_id in str(caught.value) for run_id in ids)


def test_an_unknown_run_gets_suggestions(tmp_path: Path) -> None:
    submitted_run(tmp_path, name="fineweb-filter")
    with pytest.raises(RunNotFoundError, match="did you mean fineweb-filter"):
        registry.find_run("fineweb-fliter", [tmp_path])
    with pytest.raises(RunNotFoundError, match="does not exist"):
        registry.find_run(str(tmp_path / "nothing"), [tmp_path])
    with pytest.raises(RunNotFoundError, match="not in a run directory"):
        registry.find_run(str(tmp_path), [tmp_path])


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no runs yet"):
        registry.latest_run([tmp_path / "missing"])


def test_listing_skips_what_is_not_a_run(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    (tmp_path / "demo" / ".new-20260101-000000-aaaa").mkdir()
    (tmp_path / "demo" / "notes").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert registry.run_directories([tmp_path, tmp_path]) == [run.paths.root]


def test_folders_are_remembered_once(own_home: Path, tmp_path: Path) -> None:
    environ = {"HOME": str(own_home)}
    default = own_home / "curator-slurm" / "runs"
    assert known_folders(environ) == [default]
    remember_folder(default, environ)
    for _ in range(2):
        remember_folder(tmp_path / "other", environ)
    assert known_folders(environ) == [default, tmp_path / "other"]
    index = own_home / ".local" / "state" / "curator-slurm" / "runs-folders"
    assert index.read_text() == f"{tmp_path / 'other'}\n"


def test_a_folder_of_one_shell_is_found_by_the_next(own_home: Path, tmp_path: Path) -> None:
    remember_folder(tmp_path / "mine", {"CURATOR_SLURM_RUNS": str(tmp_path / "mine")})
    assert known_folders({}) == [own_home / "curator-slurm" / "runs", tmp_path / "mine"]


def test_the_usual_folder_is_found_from_a_shell_with_another(own_home: Path, tmp_path: Path) -> None:
    assert own_home / "curator-slurm" / "runs" in known_folders({"CURATOR_SLURM_RUNS": str(tmp_path)})


def test_the_default_folder_can_be_set(own_home: Path) -> None:
    assert default_folder({"CURATOR_SLURM_RUNS": "~/x"}) == own_home / "x"


def test_an_index_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember_folder(tmp_path, {"XDG_STATE_HOME": str(tmp_path / "file")})
