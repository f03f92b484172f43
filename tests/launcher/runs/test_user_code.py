"""The user's modules as a run takes them: those that are named and what they import, and nothing that hides others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curator_slurm.launcher.plan.modules import named_modules
from curator_slurm.launcher.runs import user_code
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.user_code import (
    PIPELINE_FILE,
    Code,
    CodeRecord,
    collect_code,
    modules_beside,
    newest_code,
    take_code,
)
from curator_slurm.launcher.spec.model import Spec

FILES = {
    "pipeline.py": "import helper\nfrom package.deep import x\n",
    "helper.py": "import importlib\nlate = importlib.import_module('late')\n",
    "late.py": "broken(\n",
    "unused.py": "",
    "package/__init__.py": "",
    "package/deep.py": "import another\n",
    "package/words.txt": "a",
    "package/__pycache__/deep.cpython-311.pyc": "",
    "package/.git/config": "",
    "another/x.py": "",
    "data/a.jsonl": "",
    "notes.txt": "",
    ".hidden.py": "",
    "ray.py": "",
    "yaml.py": "",
    "types.py": "",
    "msgpack/__init__.py": "",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "spec"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def collect(source: Path, *named: str) -> tuple[CodeRecord, Path]:
    goal = source.parent / "code"
    record = collect_code(source, goal, named)
    assert record is not None
    return record, goal


def test_what_is_a_module(source: Path) -> None:
    assert set(modules_beside(source)) == {
        *("pipeline", "helper", "late", "unused", "package", "another", "ray", "yaml", "types", "msgpack")
    }


def test_named_modules_and_what_they_import_are_copied(source: Path) -> None:
    record, goal = collect(source, "pipeline", "nemo_curator")
    assert set(record.files) == {
        *("pipeline.py", "helper.py", "late.py", "package/__init__.py", "package/deep.py", "package/words.txt"),
        "another/x.py",
    }
    for name in record.files:
        assert not (goal / name).is_symlink()
        assert (goal / name).read_text() == FILES[name]
    links = {path.name for path in goal.iterdir() if path.is_symlink()}
    assert links == {"unused.py", "data", "notes.txt"}
    assert record.live == ()


def test_modules_that_would_hide_others_are_left_out(source: Path) -> None:
    record, goal = collect(source, "pipeline", "ray", "yaml")
    assert set(record.left_out) == {"ray.py", "yaml.py", "types.py", "msgpack"}
    assert not any((goal / name).exists() for name in record.left_out)
    (sentence,) = record.sentences()
    assert "msgpack, ray.py, types.py, yaml.py beside the spec" in sentence


def test_a_folder_of_data_with_a_script_in_it_is_not_spoken_of(source: Path) -> None:
    """Nobody has meant `array` of Python's by it, unless the spec names it."""
    (source / "array").mkdir()
    (source / "array" / "make_input.py").write_text("")
    assert "array" not in collect(source, "pipeline")[0].left_out
    shutil.rmtree(source.parent / "code")
    assert "array" in collect(source, "array.make_input")[0].left_out


def test_an_edit_after_the_submission_is_seen_and_changes_nothing(source: Path) -> None:
    record, goal = collect(source, "pipeline")
    assert record.changed() == []
    (source / "helper.py").write_text("edited")
    (source / "late.py").unlink()
    assert record.changed() == ["helper.py", "late.py"]
    assert (goal / "helper.py").read_text() == FILES["helper.py"]


def test_a_package_that_is_too_large_is_read_as_it_is_and_this_is_said(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_code, "MOST_BYTES", 200)
    (source / "package" / "model.bin").write_bytes(b"0" * 300)
    record, goal = collect(source, "pipeline")
    assert record.live == ("package",)
    assert (goal / "package").is_symlink()
    assert "pipeline.py" in record.files
    assert "package. Do not change it" in next(iter(record.sentences()))


def test_of_a_folder_with_very_many_entries_only_the_modules_are_linked(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_code, "MOST_ENTRIES", 3)
    _, goal = collect(source, "pipeline")
    assert not (goal / "notes.txt").exists()
    assert (goal / "pipeline.py").exists()


def test_without_modules_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data.txt").touch()
    assert collect_code(tmp_path, tmp_path / "code", ["pipeline"]) is None
    assert collect_code(tmp_path / "nowhere", tmp_path / "code", []) is None
    assert not (tmp_path / "code").exists()


def test_the_file_of_the_pipeline_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stages: []")
    collect_code(tmp_path, tmp_path / "run" / "code", [], str(tmp_path / "p.yaml"))
    assert (tmp_path / "run" / "code" / PIPELINE_FILE).read_text() == "stages: []"


def test_a_submission_uses_the_newest_code_before_it(source: Path) -> None:
    run = RunPaths(source.parent / "run")
    run.root.mkdir()
    code = Code(str(source), frozenset({"pipeline"}))
    assert newest_code(run) is None
    take_code(code, run.code, run.code_record)
    for number in (1, 3):
        paths = run.submission(number)
        paths.root.mkdir(parents=True)
        take_code(code, paths.code, paths.code_record)
    run.submission(2).root.mkdir()
    run.submission(4).root.mkdir()
    run.submission(4).code.mkdir()  # interrupted before its record
    found = {number: newest_code(run, number) for number in (None, 0, 1, 2, 3, 4)}
    assert {number: each and each[0] for number, each in found.items()} == {
        None: run.submission(3).code, 0: run.code, 1: run.submission(1).code, 2: run.submission(1).code,
        3: run.submission(3).code, 4: run.submission(3).code,
    }  # fmt: skip


@pytest.mark.parametrize("damage", ["", "[]", '{"schema": 1}', '{"files": 3}'])
def test_a_damaged_record_is_none(tmp_path: Path, damage: str) -> None:
    run = RunPaths(tmp_path)
    run.code_record.write_text(damage)
    assert newest_code(run) is None


def test_which_modules_a_spec_names(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stages:\n  - _target_: mine.stages.Stage\n    input: data.jsonl\n")

    def named(pipeline: dict[str, object], backend: str = "xenna") -> set[str]:
        return named_modules(Spec.model_validate({"name": "x", "pipeline": pipeline, "executor": {"backend": backend}}))

    assert named({"entry": "a.b:c"}) == {"a"}
    stage = {"use": "s.t:U", "with": {"score": {"use": "w:Score"}, "text": "not: a module", "list": ["l.m:n"]}}
    assert named({"stages": [stage]}, "x.y:Executor") == {"s", "w", "l", "x"}
    assert "mine" in named({"file": str(tmp_path / "p.yaml")})
    assert named({"command": "python a:b"}) == set()


def test_the_record_is_private(source: Path) -> None:
    run = RunPaths(source.parent / "run")
    run.root.mkdir(mode=0o700)
    take_code(Code(str(source)), run.code, run.code_record)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (run.code, run.code_record))
    assert json.loads(run.code_record.read_text())["files"] == {}
