"""What is no regular file of a sensible size is an error, and never a reader that waits or fills the memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import damage
import pytest

from curator_slurm.common.plain_files import open_plain, plain_lines, read_plain


@pytest.mark.parametrize(
    "read", [open_plain, lambda path: read_plain(path, 10), lambda path: [*plain_lines(path, 9, 9)]]
)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fifo", "a FIFO, not a file"),
        ("socket", "a socket, not a file"),
        ("device", "a device, not a file"),
        ("folder", "Is a directory"),
    ],
)
def test_what_is_not_a_file(tmp_path: Path, read: Callable[[Path], object], kind: str, words: str) -> None:
    damage.IN_PLACE[kind](tmp_path / "it")
    with pytest.raises(OSError, match=words):
        read(tmp_path / "it")


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"abc\nde\n")
    assert read_plain(path, 7) == b"abc\nde\n"
    assert list(plain_lines(path, 7, 4)) == [b"abc\n", b"de\n"]
    with pytest.raises(OSError, match="more than 6 bytes: "):
        read_plain(path, 6)
    with pytest.raises(OSError, match="more than 6 bytes: "):
        list(plain_lines(path, 6, 4))
    with pytest.raises(OSError, match="more than 3 bytes in one line"):
        list(plain_lines(path, 7, 3))
