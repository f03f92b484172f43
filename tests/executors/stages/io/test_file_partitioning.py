from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_loop import run

from curator_slurm.executors import EmptyTask
from curator_slurm.executors.stages import FilePartitioningStage
from curator_slurm.executors.stages.io.file_partitioning import group_by_count, group_by_size

FILES = ["b.jsonl", "a.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl.gz", "e.json", "f.JSONL"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate([*FILES, ".hidden.jsonl", ".cache/x.jsonl", "readme.md"], 1):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number * 10)
    return tmp_path / "data"


def files_of(tasks: list) -> list[str]:
    return [path for task in tasks for path in task.data]


def test_takes_every_file_of_a_folder_once_in_the_order_of_names(folder: Path) -> None:
    tasks = run(FilePartitioningStage(str(folder)))
    assert files_of(tasks) == sorted(str(folder / name) for name in FILES)


def test_metadata_says_which_part_of_what_a_task_is(folder: Path) -> None:
    tasks = run(FilePartitioningStage(str(folder), files_per_partition=4))
    assert [task._metadata["partition_index"] for task in tasks] == [0, 1]
    assert [task._metadata["total_partitions"] for task in tasks] == [2, 2]
    assert [task._metadata["source_files"] for task in tasks] == [task.data for task in tasks]
    assert tasks[0].dataset_name == "data"


@pytest.mark.parametrize("pattern", ["*.jsonl", "**/*.jsonl", "sub", "[ab].jsonl", "a.jsonl"])
def test_globs_folders_and_files(folder: Path, pattern: str) -> None:
    expected = {
        "*.jsonl": ["a.jsonl", "b.jsonl"],
        "**/*.jsonl": ["a.jsonl", "b.jsonl", "sub/c.jsonl"],
        "sub": ["sub/c.jsonl", "sub/deep/d.jsonl.gz"],
        "[ab].jsonl": ["a.jsonl", "b.jsonl"],
        "a.jsonl": ["a.jsonl"],
    }[pattern]
    assert files_of(run(FilePartitioningStage(str(folder / pattern)))) == [str(folder / name) for name in expected]


def test_a_name_that_looks_like_a_glob_is_a_name_where_there_is_such_a_file(folder: Path) -> None:
    (folder / "[ab].jsonl").write_text("")
    assert files_of(run(FilePartitioningStage(str(folder / "[ab].jsonl")))) == [str(folder / "[ab].jsonl")]


def test_a_file_that_is_named_twice_is_taken_once(folder: Path) -> None:
    paths = [str(folder / "a.jsonl"), str(folder / "*.jsonl"), str(folder / "sub/../a.jsonl")]
    assert files_of(run(FilePartitioningStage(paths))) == [str(folder / "a.jsonl"), str(folder / "b.jsonl")]


def test_relative_paths_mean_where_the_stage_was_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    stage = FilePartitioningStage("sub")
    monkeypatch.chdir("/")
    assert len(stage.process(EmptyTask())) == 2


def test_linked_folders_are_followed_and_loops_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.jsonl").write_text("")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    assert str(folder / "linked" / "z.jsonl") in files_of(run(FilePartitioningStage(str(folder))))


def test_a_path_that_names_nothing_is_an_error(folder: Path) -> None:
    for path in (folder / "missing.jsonl", folder / "*.parquet"):
        with pytest.raises(FileNotFoundError, match="no files match"):
            FilePartitioningStage(str(path)).process(EmptyTask())


@pytest.mark.parametrize("path", ["readme.md", "*.md", "docs"])
def test_files_of_other_kinds_alone_are_an_error_and_not_an_empty_run(folder: Path, path: str) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "readme.md").touch()
    extensions = None if path == "docs" else [".jsonl"]
    with pytest.raises(ValueError, match=r"readme\.md"):
        FilePartitioningStage(str(folder / path), file_extensions=extensions).process(EmptyTask())


@pytest.mark.parametrize("path", ["readme.md", "*.md", "**/*.md", "r?adme.*"])
def test_a_file_that_is_named_is_taken_whatever_its_extension(folder: Path, path: str) -> None:
    assert files_of(run(FilePartitioningStage(str(folder / path)))) == [str(folder / "readme.md")]


@pytest.mark.parametrize("path", ["{}", "{}/", "{}/*", "{}/**", "{}/d*"])
def test_in_folders_the_names_of_parts_are_known_and_the_others_are_said(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`d*` matches the folder, and says nothing of the files in it."""
    folder = tmp_path / "data" / "d1"
    folder.mkdir(parents=True)
    wanted = ["a.ndjson", "b.jsonlines", "c.jl.bz2", "part-00000", "part-00001.gz", "x.json.gz"]
    for name in [*wanted, "_SUCCESS", "LICENSE", "readme.md", "old.csv", "_part-1", "a.crc", "b.crc", "c.crc"]:
        (folder / name).touch()
    place = path.format(tmp_path / "data" if "d*" in path else folder)
    assert files_of(run(FilePartitioningStage(place))) == [str(folder / name) for name in sorted(wanted)]
    assert "8 of 14 files without the ending .jsonl or .json or .parquet" in caplog.text
    assert f"{folder}/LICENSE" in caplog.text
    assert "and 3 more; they were not read" in caplog.text


def test_an_empty_folder_is_an_empty_run(tmp_path: Path) -> None:
    assert run(FilePartitioningStage(str(tmp_path))) == []


def test_limit(folder: Path) -> None:
    tasks = run(FilePartitioningStage(str(folder), files_per_partition=2, limit=2))
    assert len(tasks) == 2
    assert tasks[0]._metadata["total_partitions"] == 3


def test_fsspec_addresses() -> None:
    store = fsspec.filesystem("memory")
    for name in ("/parts/b.jsonl", "/parts/sub/a.jsonl", "/parts/.tmp.jsonl", "/parts/x.csv"):
        store.pipe_file(name, b"12345")
    try:
        expected = ["memory:///parts/b.jsonl", "memory:///parts/sub/a.jsonl"]
        assert files_of(run(FilePartitioningStage("memory://parts"))) == expected
        assert files_of(run(FilePartitioningStage("memory://parts/*.jsonl", files_per_partition=9)))[-1] == expected[0]
        assert len(run(FilePartitioningStage("memory://parts", blocksize=10))) == 1
        with pytest.raises(FileNotFoundError):
            FilePartitioningStage("memory://nowhere").process(EmptyTask())
    finally:
        store.rm("/parts", recursive=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"files_per_partition": 2, "blocksize": "1MB"},
        {"files_per_partition": 0},
        {"files_per_partition": True},
        {"limit": 0},
        {"blocksize": "many"},
        {"blocksize": 0},
    ],
)
def test_arguments_that_make_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError):
        FilePartitioningStage("x", **arguments)


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 100)).map(lambda f: list(f.items())), st.integers(1, 120))
def test_groups_hold_every_file_once_and_no_more_than_a_block(files: list[tuple[str, int]], block: int) -> None:
    sizes = dict(files)
    groups = group_by_size(files, block)
    assert sorted(path for group in groups for path in group) == sorted(sizes)
    assert all(len(group) == 1 or sum(sizes[path] for path in group) <= block for group in groups)
    assert groups == group_by_size(files[::-1], block)


@given(st.lists(st.text(max_size=5), unique=True), st.integers(1, 9))
def test_groups_by_count(files: list[str], count: int) -> None:
    groups = group_by_count(files, count)
    assert [path for group in groups for path in group] == files
    assert all(len(group) == count for group in groups[:-1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.sampled_from([{"files_per_partition": 1}, {"files_per_partition": 3}, {"blocksize": 50}, {}]))
def test_ids_do_not_depend_on_the_run(folder: Path, grouping: dict) -> None:
    first, second = (run(pickle.loads(pickle.dumps(FilePartitioningStage(str(folder), **grouping)))) for _ in "ab")
    assert [task.task_id for task in first] == [task.task_id for task in second]
    assert len({task.task_id for task in first}) == len(first)
