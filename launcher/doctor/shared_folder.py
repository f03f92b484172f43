"""A folder on shared storage tried out: what runs rely on, on one machine and between the nodes of a job."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from curator_slurm.common.file_systems import file_system_of
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.doctor.machine_facts import FolderFacts

_SAMPLE = 4 << 20
"""Bytes that are written: a quota that is used up shows then."""
_ROUNDS = 3
_LOOK_S = 0.002
RACES = tuple(f"{way}-{number}" for way in ("mkdir", "link", "create") for number in range(_ROUNDS))
"""What every node tries to make, and one alone may."""


def look_at(folder: Path) -> FolderFacts:
    """A folder of which a run would be made here: whatever is made in it is removed again."""
    path = str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f".try-{secrets.token_hex(4)}"
        place.mkdir()
        try:
            with (place / "sample").open("wb") as stream:
                stream.write(os.urandom(_SAMPLE))
                stream.flush()
                os.fsync(stream.fileno())
            lacks, locks = tuple(_lacks(place)), _has_locks(place / "sample")
        finally:
            shutil.rmtree(place, ignore_errors=True)
        status = os.statvfs(folder)
    except OSError as error:
        return FolderFacts(
            path=path, problem=storage_errors.what(error), step=storage_errors.next_step(error) or "check the folder"
        )
    return FolderFacts(
        path=path,
        kind=file_system_of(folder),
        free_bytes=status.f_bavail * status.f_frsize,
        free_files=status.f_favail if status.f_files else None,
        lacks=lacks,
        locks=locks,
    )


def _lacks(place: Path) -> Iterator[str]:
    """Each thing that runs need and this storage does not do, by the operation."""
    sample = place / "sample"
    trials: dict[str, Callable[[], bool]] = {
        "hard links (link), which locks of runs are made of": lambda: _links(sample, place / "link"),
        "symbolic links (symlink)": lambda: _symlinks(place),
        "files that replace others by rename": lambda: _replaces(place),
        "a refusal to rename a folder over a full one, by which outputs are published once": lambda: _refuses(place),
        "modes of files (chmod), by which others are kept out": lambda: _keeps_mode(sample),
    }
    for words, trial in trials.items():
        try:
            works = trial()
        except OSError:
            works = False
        if not works:
            yield words


def _links(sample: Path, link: Path) -> bool:
    link.hardlink_to(sample)
    return link.samefile(sample)


def _symlinks(place: Path) -> bool:
    (place / "symlink").symlink_to("sample")
    return (place / "symlink").resolve() == (place / "sample").resolve()


def _replaces(place: Path) -> bool:
    (place / "old").write_text("old")
    (place / "new").write_text("new")
    (place / "new").replace(place / "old")
    return (place / "old").read_text() == "new"


def _refuses(place: Path) -> bool:
    for name in ("staged", "full"):
        (place / name).mkdir()
        (place / name / "file").touch()
    try:
        (place / "staged").rename(place / "full")
    except OSError as error:
        return error.errno in (errno.ENOTEMPTY, errno.EEXIST)
    return False


def _keeps_mode(sample: Path) -> bool:
    sample.chmod(0o600)
    return sample.stat().st_mode & 0o777 == 0o600


def _has_locks(sample: Path) -> bool:
    try:
        with sample.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def run_races(place: Path, node: str) -> Iterator[str]:
    """Try to make what only one node can make; the names of what this one has made."""
    own = place / f"own-{node}"
    own.write_text(node)
    for name in RACES:
        way, target = name.partition("-")[0], place / name
        try:
            if way == "mkdir":
                target.mkdir()
            elif way == "link":
                target.hardlink_to(own)
            else:
                os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            continue
        yield name


def echoes(place: Path, nodes: Iterable[str], until: float) -> dict[str, list[float]]:
    """Of the first node: call all others by a file, again and again; how many ms each call took, one way.

    Names are looked for by listing, as agents do: asking for one that is not there yet would make network storage hide
    it for a while.
    """
    found: dict[str, list[float]] = {node: [] for node in nodes}
    for number in range(_ROUNDS):
        began = time.monotonic()
        (place / f"call-{number}").touch()
        waiting = set(found)
        while waiting and time.monotonic() < until:
            there = set(os.listdir(place))  # noqa: PTH208 (names alone)
            for node in [node for node in waiting if f"echo-{number}-{node}" in there]:
                found[node].append(round((time.monotonic() - began) * 500, 1))
                waiting.discard(node)
            time.sleep(_LOOK_S)
    (place / "call-over").touch()
    return found


def answer_echoes(place: Path, node: str, until: float) -> None:
    """Of every other node: answer each call, until the first node has done."""
    answered: set[str] = set()
    while time.monotonic() < until:
        there = {name for name in os.listdir(place) if name.startswith("call-")}  # noqa: PTH208 (names alone)
        for name in sorted(there - answered):
            answered.add(name)
            if name == "call-over":
                return
            (place / f"echo-{name.removeprefix('call-')}-{node}").touch()
        time.sleep(_LOOK_S)
