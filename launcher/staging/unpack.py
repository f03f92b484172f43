"""A program that lies beside an archive, and that every node runs: it makes or finds the copy on the node's own disk.

It is one file (`program.py`) and is run by `python -I -S`, so that next to nothing is read from shared storage besides
Python's own modules. For bash it prints what has changed: the interpreter, and the variables that name a folder of
which there is a copy now. Whatever goes wrong is a warning; then the node uses shared storage, as without.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from curator_slurm.common.staged_paths import STAGED
from curator_slurm.launcher.staging import local_copies as copies
from curator_slurm.launcher.staging.extract import DECOMPRESS, decompress, extract
from curator_slurm.launcher.staging.local_copies import DONE, NEW, SPARE, SharedError
from curator_slurm.launcher.staging.relocate import relocate, renaming

AGAIN, SHARED = 75, 3
"""Exit codes: the lock was removed meanwhile; shared storage is used."""
_POLL_S = 0.2
_IN_USE_S = 60.0
"""How long a copy that is damaged, and that somebody uses, is waited for."""


class _AgainError(Exception):
    """The lock that the shell has opened is not there any more."""


def main(arguments: list[str] | None = None) -> int:
    """Make or find the copy; what bash is to do about it is printed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--archive", type=Path, required=True, help="the folder of the archive")
    parser.add_argument("--place", type=Path, required=True, help="our folder on the node")
    parser.add_argument("--lock", type=int, required=True, help="an open file, which the shell keeps")
    parser.add_argument("--most", type=int, required=True, help="bytes of all copies on a node")
    parser.add_argument("--room", type=int, default=0, help="bytes that a job may put there; 0: not known")
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--wait", type=float, default=3600.0)
    parser.add_argument("--release", action="store_true", help="remove the copy, if nobody else uses it")
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [DECOMPRESS]:
        decompress(arguments[1])
        return 0
    options = parser.parse_args(arguments)
    archive: Path = options.archive
    if options.release:
        copies.release(options.place, archive.name, options.lock)
        return 0
    began = time.monotonic()
    try:
        index = _read_own(archive / "index.json")
        how = _provide(options, archive, index)
        copies.clean(options.place, but=index["key"], most=options.most, days=options.days)
    except _AgainError:
        return AGAIN
    except (SharedError, OSError, ValueError, KeyError) as error:
        why = str(error) or repr(error)
        _say(f"the software is used from shared storage: {why}")
        print(_export(STAGED, json.dumps({"how": "shared", "why": why})))
        return SHARED
    seconds = time.monotonic() - began
    _report(options.place / index["key"], index, how, seconds)
    return 0


def _report(folder: Path, index: dict[str, Any], how: str, seconds: float) -> None:
    saved = max(0.0, index["read_s"] - seconds)
    words = "unpacked into" if how == "unpacked" else "found in"
    _say(
        f"{index['files']:,} files were {words} {folder} in {seconds:.1f} s; to read them one by one took "
        f"{index['read_s']:.1f} s where they were packed"
    )
    paths = {name: str(folder / str(n)) for n, root in enumerate(index["roots"]) for name in root["names"]}
    told = {"how": how, "seconds": round(seconds, 3), "saved": round(saved, 3), "files": index["files"], "paths": paths}
    print(_export(STAGED, json.dumps(told)))
    rename = renaming(folder, index)
    for name, value in os.environb.items():
        text = os.fsdecode(name)
        if text.isidentifier() and not text.startswith(("SLURM", "CURATOR_SLURM_")) and rename(value) != value:
            print(_export(text, os.fsdecode(rename(value))))
    if index["python"]:
        print(f"python={shlex.quote(str(folder / index['python']))}")


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _say(text: str) -> None:
    node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename.partition(".")[0]
    print(f"curator-slurm: {node}: {text}", file=sys.stderr)


def _read_own(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8", errors="surrogateescape") as stream:
        seen = os.fstat(stream.fileno())
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise SharedError(f"{path} is somebody else's, or may be written by others")
        value: dict[str, Any] = json.load(stream)
    return value


def _provide(options: argparse.Namespace, archive: Path, index: dict[str, Any]) -> str:
    """Have a whole copy, of which we hold a shared lock: "reused" or "unpacked".

    Raises:
        SharedError: there can be none.
        _AgainError: whoever removed an old copy has removed the lock with it.
    """
    folder, how, in_use_since = options.place / index["key"], "reused", None
    copies.check_place(options.place)
    deadline = time.monotonic() + options.wait
    while time.monotonic() < deadline:
        if copies.locked(options.lock, fcntl.LOCK_SH):  # else somebody unpacks it
            if os.fstat(options.lock).st_nlink == 0:
                raise _AgainError
            if copies.is_whole(folder):
                os.utime(folder / DONE)
                return how
            if copies.locked(options.lock, fcntl.LOCK_EX):
                _unpack(options, archive, index, folder)
                how = "unpacked"
                continue
            in_use_since = in_use_since or time.monotonic()
            if time.monotonic() - in_use_since > _IN_USE_S:
                raise SharedError(f"{folder} is damaged, and another run uses it")
        time.sleep(_POLL_S)
    raise SharedError(f"another run has unpacked into {folder} for {options.wait:.0f} s")


def _unpack(options: argparse.Namespace, archive: Path, index: dict[str, Any], folder: Path) -> None:
    """Unpack beside its place, rename, look whether it works, and say that it is done."""
    place = options.place
    for left in [folder, *place.glob(f"{NEW}{index['key']}-*")]:
        copies.remove(left)  # of one that was killed
    needed = int(index["room"])
    limit = min(options.most, options.room or options.most)
    if needed > limit:
        raise SharedError(f"it takes {needed >> 20:,} MiB, and {limit >> 20:,} MiB are allowed in {place.parent}")
    copies.clean(place, but=index["key"], most=options.most, days=options.days, needed=needed)
    free = shutil.disk_usage(place).free
    if free < needed + SPARE:
        raise SharedError(f"{place.parent} has {free >> 20:,} MiB free, and {needed + SPARE >> 20:,} MiB are needed")
    new = Path(tempfile.mkdtemp(prefix=f"{NEW}{index['key']}-", dir=place))
    try:
        extract(archive / f"archive.tar.{index['format']}", new)
        relocate(new, folder, index)
        entries, size = copies.count(new)
        new.rename(folder)
        _try_python(folder, index)
        done = {"boot": copies.boot(), "entries": entries, "bytes": size, "room": needed}
        (folder / f"{DONE}.new").write_text(json.dumps(done))
        (folder / f"{DONE}.new").rename(folder / DONE)
    except BaseException:
        copies.remove(new)
        copies.remove(folder)
        raise


def _try_python(folder: Path, index: dict[str, Any]) -> None:
    """Run the interpreter of the copy, which must be at home there."""
    if not index["python"]:
        return
    python = folder / index["python"]
    said = subprocess.run(
        [python, "-I", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=False
    )
    if said.returncode or not Path(said.stdout.strip()).is_relative_to(folder):
        words = (said.stdout + said.stderr).strip()[-200:]
        raise SharedError(f"the copy of the interpreter does not work in {folder}: {words}")
