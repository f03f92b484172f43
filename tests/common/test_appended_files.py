"""Lines of several writers stay whole, and what is no file is an error."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from curator_slurm.common.appended_files import append_text


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = [str(number) * 3000 + "\n" for number in range(8)]

    def write(line: str) -> None:
        for _ in range(50):
            append_text(path, line)

    writers = [threading.Thread(target=write, args=(line,)) for line in lines]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines * 50)


def test_a_new_file_has_the_mode_and_half_a_pair_is_no_error(tmp_path: Path) -> None:
    append_text(tmp_path / "private", "a\ud800\n", 0o600)
    append_text(tmp_path / "private", "ä\n")
    assert (tmp_path / "private").read_text() == "a?\nä\n"
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_fifo_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        append_text(tmp_path / "fifo", "line\n")
