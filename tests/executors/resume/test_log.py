"""The checkpoint log: whatever happens to its files, it never says finished of what is not."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import damage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.common.checkpoint_files import FOLDER, read_parts
from curator_slurm.executors.resume.log import CheckpointError, CheckpointLog, local_folder

SOURCES = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=8)


def record(folder: Path, *sources: str, stages: tuple[str, ...] = ("read", "write")) -> None:
    log = CheckpointLog(folder, stages)
    log.append(sources)
    log.close()


def finished(folder: Path, stages: tuple[str, ...] = ("read", "write")) -> set[str]:
    log = CheckpointLog(folder, stages)
    log.close()
    return set(log.finished)


def sources_in(lines: list[bytes]) -> set[str]:
    return set().union(*(part.sources for part in read_parts(lines)[1]))


def files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).iterdir())


def test_runs_add_up_and_leave_no_empty_files(tmp_path: Path) -> None:
    record(tmp_path, "a", "b")
    record(tmp_path)
    record(tmp_path, "c", "a")
    assert finished(tmp_path) == {"a", "b", "c"}
    assert len(files(tmp_path)) == 2


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = CheckpointLog(tmp_path, ["s"]), CheckpointLog(tmp_path, ["s"])
    one.append(["a"])
    two.append(["b"])
    one.close()
    two.close()
    two.close()  # a second time is harmless
    assert finished(tmp_path, ("s",)) == {"a", "b"}


@given(st.lists(st.lists(SOURCES, min_size=1, max_size=3), max_size=6), st.data())
def test_a_torn_file_says_a_part_of_the_truth(batches: list[list[str]], data: st.DataObject) -> None:
    lines = [json.dumps({"stages": ["s"]}), *(json.dumps({"finished": batch}) for batch in batches)]
    written = "".join(line + "\n" for line in lines).encode()
    cut = written[: data.draw(st.integers(0, len(written)))]
    whole = [batch for index, batch in enumerate(batches) if cut.count(b"\n") > index + 1]
    sources = sources_in(cut.split(b"\n"))
    assert {source for batch in whole for source in batch} <= sources <= {s for batch in batches for s in batch}


@given(st.lists(SOURCES, min_size=1, max_size=5), st.lists(st.binary(max_size=30), max_size=4), st.randoms())
def test_rubbish_and_repeated_lines_change_nothing(sources: list[str], rubbish: list[bytes], random: object) -> None:
    lines = [json.dumps({"finished": [source]}).encode() for source in sources]
    mixed = [*lines, *lines, *(part.replace(b"\n", b"") for part in rubbish), b"\0" * 50, b"[1]", b'{"finished": 3}']
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sources_in(mixed) >= set(sources)
    assert read_parts(part for part in mixed if part not in lines) == (None, [])


def test_a_file_that_was_cut_off_is_never_appended_to(tmp_path: Path) -> None:
    record(tmp_path, "a", "b")
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-4])
    assert finished(tmp_path) == set()
    record(tmp_path, "c")
    assert finished(tmp_path) == {"c"}


def test_a_full_disk_costs_no_more_than_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.write
    full = False

    def write(descriptor: int, data: bytes) -> int:
        if full and data.lstrip(b"\n").startswith(b'{"finished"'):
            real(descriptor, data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    log = CheckpointLog(tmp_path, ["s"])
    full = True
    log.append(["a"])
    while "retrying" not in caplog.text:
        pass
    full = False
    log.append(["b"])
    log.close()
    assert finished(tmp_path, ("s",)) == {"a", "b"}

    log = CheckpointLog(tmp_path, ["s"])
    full = True
    log.append(["c"])
    log.close()
    assert "will run again" in caplog.text
    assert finished(tmp_path, ("s",)) == {"a", "b"}


def test_another_pipeline_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "a")
    with pytest.raises(CheckpointError, match=r"stages read, write; this one has read, clean, write.*another"):
        CheckpointLog(tmp_path, ["read", "clean", "write"])
    assert finished(tmp_path) == {"a"}


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    for path, message in (
        ("s3://bucket/checkpoint", "not an address"),
        ("", "must not be empty"),
        ("/proc/nowhere", "cannot be used"),
    ):
        with pytest.raises(CheckpointError, match=message):
            CheckpointLog(path, ["s"])
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        local_folder(tmp_path / "file")
    (tmp_path / FOLDER).touch()
    with pytest.raises(CheckpointError, match="cannot be used"):
        CheckpointLog(tmp_path, ["s"])


@pytest.mark.parametrize("kind", damage.IN_PLACE)
def test_a_file_that_is_damaged_costs_what_it_records(tmp_path: Path, kind: str) -> None:
    record(tmp_path, "a")
    damage.IN_PLACE[kind](tmp_path / FOLDER / "other-1-ab.jsonl")
    assert finished(tmp_path) == {"a"}
