"""Ends of files that somebody is writing."""

from __future__ import annotations

from pathlib import Path

from curator_slurm.launcher.tails import GrowingFile, last_lines, tail


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert tail(path, 3) == ""
    path.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert tail(path, 2) == "line 49998\nline 49999\n"
    assert tail(path, 0) == ""
    assert len(tail(path, 60_000).splitlines()) == 50_000


def test_last_lines_leaves_out_blank_ones_and_takes_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n\n\n\xff\xfetwo\n\n")
    assert last_lines(path, 2) == ["one", "\ufffd\ufffdtwo"]
    assert last_lines(tmp_path, 2) == []


def test_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    growing = GrowingFile(path)
    assert growing.read() == ""
    path.write_bytes("caf\u00e9".encode()[:-1])
    assert growing.read() == "caf"
    with path.open("ab") as stream:
        stream.write("\u00e9".encode()[-1:] + b"\n")
    assert growing.read() == "\u00e9\n"
    assert growing.read() == ""
    path.write_text("new\n")
    assert growing.read() == "new\n"


def test_following_from_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthree\n")
    assert GrowingFile(path, 1).read() == "three\n"
    assert GrowingFile(path, 0).read() == ""
    assert GrowingFile(path, 9).read() == "one\ntwo\nthree\n"
