"""Copies of software at another path: texts that name the old one, and the binary files of conda."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator_slurm.launcher.staging.local_copies import SharedError

_LONG_LINE = 120
"""Bytes of the first line of a script that every kernel takes."""

Change = Callable[[bytes], bytes]


def renaming(folder: Path, index: dict[str, Any]) -> Change:
    """A function that puts the copies in the place of the folders in a text."""
    new = {os.fsencode(name): str(n) for n, root in enumerate(index["roots"]) for name in root["names"]}
    ordered = sorted(map(re.escape, new), key=len, reverse=True)
    pattern = re.compile(rb"(?<![\w.\-])(?:" + b"|".join(ordered) + rb")(?![\w.\-])")
    return lambda text: pattern.sub(lambda match: os.fsencode(folder / new[match[0]]), text)


def relocate(new: Path, folder: Path, index: dict[str, Any]) -> None:
    """Change what is in `new` to be at home in `folder`."""
    rename = renaming(folder, index)
    for place in index["texts"]:
        _rewrite(new / place, lambda old: first_line(rename(old)))
    for place, kept in index["binaries"]:
        number = place.partition("/")[0]
        for name in index["roots"][int(number)]["names"]:
            if (new / place).is_file():
                _rewrite(new / place, _fits(os.fsencode(name), os.fsencode(folder / number), kept, place))


def _rewrite(path: Path, change: Change) -> None:
    old = path.read_bytes()
    text = change(old)
    if text == old:
        return
    seen = path.stat()
    path.chmod(seen.st_mode | 0o200)
    path.write_bytes(text)
    path.chmod(seen.st_mode)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def first_line(text: bytes) -> bytes:
    """A script whose interpreter has too long a path is started by sh."""
    line, end, rest = text.partition(b"\n")
    if not line.startswith(b"#!/") or len(line) <= _LONG_LINE or b"python" not in line.rpartition(b"/")[2]:
        return text
    program, _, more = line[2:].strip().partition(b" ")
    return b"#!/bin/sh\n'''exec' \"" + program + b'" ' + more + b' "$0" "$@"\n' + b"' '''" + end + rest


def _fits(old: bytes, new: bytes, kept: int, place: str) -> Change:
    return lambda content: padded(content, old, new, kept, place)


def padded(content: bytes, old: bytes, new: bytes, kept: int, place: str) -> bytes:
    """Replace a path in strings of C, which stay where they are: conda has left zeros behind each."""
    spare = kept - len(old)
    if len(new) > kept:
        raise SharedError(f"{place} of the conda environment has room for a path of {kept} characters only")

    def fill(match: re.Match[bytes]) -> bytes:
        count = match[1].count(old)
        text = match[1].replace(old, new)
        if len(match[2]) <= count * spare:
            raise SharedError(f"{place} of the conda environment has its path where there is no room for another")
        return text + b"\0" * (len(match[0]) - len(text))

    return re.sub(rb"([^\0]*" + re.escape(old) + rb"[^\0]*)(\0+)", fill, content)
