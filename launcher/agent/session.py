"""The session folder of a node: Ray's session, TMPDIR of everything in the run, and what Ray spills."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import psutil

from curator_slurm.common.file_systems import file_system_of
from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.plan.local_disk import ON_NODES, LocalDisk

MAX_TEMP_DIR = 40
"""Characters of Ray's --temp-dir: it appends up to 66 more, and the path of a socket ends at 107 bytes."""

NO_HOME = "CURATOR_SLURM_NO_HOME"
"""A variable where a container does not show the home folder: what programs put there goes with the session."""
SESSION_PREFIX = "cs-"
_SHORT = Path("/tmp")
_LINKED = ("ray", "tmp")
"""Folders of a session that hold much."""
_OWNER = "owner.json"
_DATA = "data"
_held: dict[Path, int] = {}
"""The locks on this process's own folders."""
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_LEAST_FREE = 1 << 30
_FULL = 0.95
"""The share of its file system at which Ray stops spilling by itself."""


def folder_of(path: str | None, environ: Mapping[str, str]) -> Path:
    """The node-local folder, storage.node_local or /tmp, with the variables of this job.

    Raises:
        BootstrapError: Slurm does not set one of them, or they make no absolute path.
    """
    text = path or "/tmp"
    for name in ON_NODES.findall(text):
        if not environ.get(name):
            raise BootstrapError(
                FailureClass.ENVIRONMENT,
                f"storage.node_local is {text}, and Slurm does not set {name} on this node",
                "use a variable that jobs have here, such as ${SLURM_JOB_ID}",
            )
    folder = Path(ON_NODES.sub(lambda match: environ[match[1]], text))
    if not folder.is_absolute():
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"storage.node_local is {text}, which is {folder} on this node: no absolute path",
            "begin it with /, or with a variable that holds such a path",
        )
    return folder


def make_session_dir(parent: Path, tag: str) -> Path:
    """A private folder (0700) for Ray's session, short enough for the sockets in it.

    In `parent`, unless its path is too long for sockets: then it is in /tmp, and what can become large is in a folder
    in `parent`, to which it links. Left-overs of agents that were killed, and of the same user, are removed on the way.

    Raises:
        BootstrapError: `parent` is missing or not writable.
    """
    try:
        sweep_sessions(parent)
        if len(f"{parent}/{SESSION_PREFIX}{tag}-12345678/ray") <= MAX_TEMP_DIR:
            return _folder(parent, tag)
        data = _folder(parent, tag)
    except OSError as error:
        raise _unusable(parent, error) from error
    try:
        if parent != _SHORT:
            sweep_sessions(_SHORT)
        session = _folder(_SHORT, tag, data)
        for name in _LINKED:
            (data / name).mkdir(mode=0o700)
            (session / name).symlink_to(data / name)
    except OSError as error:
        shutil.rmtree(data, ignore_errors=True)
        raise _unusable(_SHORT, error) from error
    return session


def remove_session(session: Path) -> None:
    """Remove a session folder, and what it links to; never raises."""
    data = _data_of(session)
    for folder in (session, data):
        if folder in _held:
            os.close(_held.pop(folder))
        if folder is not None and folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def sweep_sessions(parent: Path) -> None:
    """Remove session folders of this user whose agent is dead: a killed agent cannot clean up after itself."""
    for session in parent.glob(f"{SESSION_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            if session.is_symlink() or session.stat().st_uid != os.getuid():
                continue
            if _is_left(session / _OWNER):
                remove_session(session)


def check_room(parent: Path, disk: LocalDisk) -> None:
    """Where the site says how much a job may put there, some of it must be free.

    Raises:
        BootstrapError: it is not.
    """
    if disk.size is None:
        return
    least, free = min(disk.size, _LEAST_FREE), shutil.disk_usage(parent).free
    if free < least:
        raise BootstrapError(
            FailureClass.STORAGE,
            f"{parent} has {format_size(free)} free on this node, and a run needs {format_size(least)} there "
            "(storage.node_local)",
            "free the folder, exclude the node (resources.sbatch.exclude), or name another folder",
        )


def note_on_memory(parent: Path, disk: LocalDisk) -> str:
    """Where the folder is memory, and nobody has said so: it counts in the job's, and Ray would spill into it."""
    if disk.is_memory:
        return ""
    kind = file_system_of(parent)
    if kind not in _IN_MEMORY:
        return ""
    return (
        f"{parent} is memory on this node ({kind}), which may count in the job's: Ray's session is there, and Ray "
        f"spills into it. Name a folder on a disk (storage.node_local), or, if there is none, say so in the site file: "
        f"storage.node_local: {{path: {parent}, is_memory: true}}"
    )


def spilling(parent: Path, disk: LocalDisk, shared: Path) -> dict[str, str]:
    """Variables that tell Ray where to spill, and how much.

    From a folder that is memory to shared storage, since spilling is to free memory. Else into the session, of `size`
    at most: Ray knows a share of the file system at which it stops.
    """
    if disk.is_memory:
        # What others have put on shared storage is no reason to stop: quotas are.
        return {"RAY_object_spilling_directory": str(shared), "RAY_local_fs_capacity_threshold": "1"}
    if disk.size is None:
        return {}
    usage = shutil.disk_usage(parent)
    share = min(_FULL, (usage.total - usage.free + disk.size) / usage.total)
    return {"RAY_local_fs_capacity_threshold": f"{share:.4f}"}


def _folder(parent: Path, tag: str, data: Path | None = None) -> Path:
    session = Path(tempfile.mkdtemp(prefix=f"{SESSION_PREFIX}{tag}-", dir=parent))
    owner: dict[str, object] = {"pid": os.getpid(), "started": psutil.Process().create_time(), "scope": _pid_scope()}
    if data is not None:
        owner[_DATA] = str(data)
    with (session / _OWNER).open("w") as file:
        if _lock(file):
            owner["host"] = socket.gethostname()
            _held[session] = os.dup(file.fileno())
        file.write(json.dumps(owner))
    return session


def _data_of(session: Path) -> Path | None:
    with contextlib.suppress(OSError, ValueError):
        text = (read_json(session / _OWNER) or {}).get(_DATA)
        if isinstance(text, str) and Path(text).name.startswith(SESSION_PREFIX):
            return Path(text)
    return None


def _unusable(parent: Path, error: OSError) -> BootstrapError:
    return BootstrapError(
        FailureClass.STORAGE,
        f"cannot create a folder for Ray's session in {str(parent)!r}: {error.strerror}",
        "set storage.node_local to a folder that exists on every node and that you can write to",
    )


def _is_left(owner_file: Path) -> bool:
    """Whether a session's agent is dead: by its process id where that means something, else by its lock.

    It means nothing in another container, nor after a power cut. A lock is that of this node alone on some file
    systems, so that those of other nodes' sessions say nothing.
    """
    owner = read_json(owner_file) or {}
    if owner["scope"] == _pid_scope():
        return not _lives(int(owner["pid"]), float(owner["started"]))
    if owner.get("host") != socket.gethostname():
        return False
    with owner_file.open() as file:
        return _lock(file)


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _pid_scope() -> str:
    """Where our process ids mean something: this boot of this machine, and this PID namespace of it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _lives(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 2
    except psutil.Error:
        return False
