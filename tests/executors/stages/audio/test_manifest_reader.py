"""Manifests are read line by line; a bad line is named and costs no other."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from stage_loop import LoopExecutor, run

from curator_slurm.executors import AudioTask, FileGroupTask, Pipeline
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.stages import AudioReader, ManifestEntryStage, ManifestReader, ManifestReaderStage
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError


def write(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["m.jsonl", "m.json", "m.jsonl.gz"])
def test_an_entry_for_each_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"audio_filepath": "/a.wav", "text": "ä"}, "", {"audio_filepath": "/b.wav", "n": [1]})
    tasks = run(ManifestReader(str(path)))
    assert [task.data for task in tasks] == [
        {"audio_filepath": "/a.wav", "text": "ä"},
        {"audio_filepath": "/b.wav", "n": [1]},
    ]
    assert all(isinstance(task, AudioTask) and task.num_items == 1 for task in tasks)
    assert len({task.task_id for task in tasks}) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/abs/a.wav", "/abs/a.wav"),
        ("a.wav", "{folder}/a.wav"),
        ("wavs/../a.wav", "{folder}/a.wav"),
        ("s3://bucket/a.wav", "s3://bucket/a.wav"),
    ],
)
def test_relative_paths_begin_at_the_manifest(tmp_path: Path, given: str, expected: str) -> None:
    (task,) = run(ManifestReader(str(write(tmp_path / "m.jsonl", {"audio_filepath": given}))))
    assert task.data["audio_filepath"] == expected.format(folder=tmp_path)


BAD = [
    ('{"audio_filepath": "a.wav"', "not JSON"),
    ("[1, 2]", "not an object, but list"),
    ('{"text": "a"}', "no 'audio_filepath' with a path, but None"),
    ('{"audio_filepath": 3}', "no 'audio_filepath' with a path, but 3"),
    ('{"audio_filepath": ""}', "no 'audio_filepath' with a path, but ''"),
    ("\udcff{}", "not JSON"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    good = b'{"audio_filepath": "/a.wav"}\n'
    path.write_bytes(good + b"\n" + line.encode("utf-8", "surrogateescape") + b"\n" + good)
    with pytest.raises(Exception, match=rf"m.jsonl, line 3: {message}"):
        run(ManifestReader(str(path)))


def test_a_bad_line_costs_no_other(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.jsonl", *({"audio_filepath": f"/{n}.wav"} for n in range(5)), *(line for line, _ in BAD[:5])
    )
    entries = ManifestReaderStage().process(FileGroupTask("m", [str(path)]))
    for number, task in enumerate(entries):
        task.task_id = f"0_a_{number}"
    adapter = StageAdapter(ManifestEntryStage(), FailurePolicy(OnTaskError.SKIP))
    kept, report = adapter.process(entries)
    assert [task.data["audio_filepath"] for task in kept] == [f"/{n}.wav" for n in range(5)]
    lines = [record.error.split(":")[1].rsplit(", ", 1)[1] for record in report.failures]
    assert lines == [f"line {number}" for number in range(6, 11)]


def test_a_manifest_without_entries_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"m.jsonl has no entries"):
        ManifestReaderStage().process(FileGroupTask("m", [str(write(tmp_path / "m.jsonl", "", ""))]))


def test_manifests_are_grouped(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jsonl", {"audio_filepath": f"/{number}.wav"})
    first = ManifestReader(str(tmp_path), files_per_partition=2).decompose()[0]
    assert len(Pipeline("m", stages=[first]).run(LoopExecutor()) or []) == 2
    by_size = ManifestReader(str(tmp_path), blocksize="1K").decompose()[0]
    assert len(Pipeline("m", stages=[by_size]).run(LoopExecutor()) or []) == 1


def test_sound_files_without_a_manifest(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "c.ogg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    tasks = run(AudioReader(str(tmp_path)))
    assert [Path(task.data["audio_filepath"]).name for task in tasks] == ["a.FLAC", "b.wav", "c.ogg"]
    assert len(run(AudioReader(str(tmp_path), audio_limit=2))) == 2


def test_keys_are_attributes_too(tmp_path: Path) -> None:
    task = AudioTask("m", {"audio_filepath": str(tmp_path / "gone.wav")}, filepath_key="audio_filepath")
    assert task.data.audio_filepath.endswith("gone.wav")  # type: ignore[attr-defined]
    assert not hasattr(task.data, "text")
    assert not task.validate()
    again = pickle.loads(pickle.dumps(task))
    assert (again.data, type(again.data)) == (task.data, type(task.data))
    again.data.text = "a"
    assert again.data["text"] == "a"


def test_no_paths_are_an_error() -> None:
    with pytest.raises(ValueError, match="manifest_path must not be empty"):
        ManifestReader("")
    with pytest.raises(ValueError, match="input_audio_path must not be empty"):
        AudioReader([])
