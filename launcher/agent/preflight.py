"""Checks that every node makes before Ray starts on it; a failure names the node and the cure."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import psutil

from curator_slurm.launcher import __version__
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.owners import check_own
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.registry import load_run

MAX_TEMP_DIR = 40
"""Characters of Ray's --temp-dir: it appends up to 66 more, and the path of a socket ends at 107 bytes."""

SESSION_PREFIX = "cs-"
_OWNER = "owner.json"


def check_owner(run: RunPaths, run_id: str | None) -> None:
    """The run directory must be that of this run, ours, and closed to others' writing.

    Raises:
        ForeignRunError: somebody else's is in its place, or others may have changed it.
        BootstrapError: another run of ours is in its place.
    """
    check_own(run, "a job")
    if run_id is None:
        return
    found = load_run(run.root)
    if found.record is None or found.record.run_id != run_id:
        raise BootstrapError(
            FailureClass.STORAGE,
            f"{run.root} is not the directory of run {run_id}, for which this job was submitted: "
            f"{found.problem or f'it is that of run {found.run_id}'}",
            "see what has been moved there; then submit the spec again",
        )


def check_run_directory(cluster: ClusterPaths, node: str) -> None:
    """The run directory must be there and writable from this node."""
    probe = cluster.nodes / f".probe-{node}-{secrets.token_hex(4)}"
    try:
        cluster.nodes.mkdir(parents=True, exist_ok=True)
        probe.write_text("probe")
        probe.unlink()
    except OSError as error:
        raise BootstrapError(
            FailureClass.STORAGE,
            f"the run directory cannot be written on this node: {error.strerror}: {error.filename}",
            "put the runs folder (storage.runs) on storage that every node mounts, with free space and quota",
        ) from error


def make_session_dir(base: str | None, tag: str) -> Path:
    """A private folder (0700) for Ray's session, short enough for the sockets in it.

    `base` is storage.node_local; without it the folder goes to /tmp. Left-overs of agents that were killed, and of
    the same user, are removed on the way.

    Raises:
        BootstrapError: `base` is missing, not writable, or too long.
    """
    parent = Path(base or "/tmp")
    example = parent / f"{SESSION_PREFIX}{tag}-12345678" / "ray"
    if len(str(example)) > MAX_TEMP_DIR:
        room = MAX_TEMP_DIR - (len(str(example)) - len(str(parent)))
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"Ray's temp dir would be too long: storage.node_local is {str(parent)!r} ({len(str(parent))} characters), "
            f"and {room} is the most that leaves room for Ray's sockets (a socket's path ends at 107 bytes)",
            "set storage.node_local to a shorter folder on the nodes' own disks, or leave it out to use /tmp",
        )
    try:
        sweep_sessions(parent)
        session = Path(tempfile.mkdtemp(prefix=f"{SESSION_PREFIX}{tag}-", dir=parent))
        owner = {"pid": os.getpid(), "started": psutil.Process().create_time(), "scope": _pid_scope()}
        (session / _OWNER).write_text(json.dumps(owner))
    except OSError as error:
        raise BootstrapError(
            FailureClass.STORAGE,
            f"cannot create a folder for Ray's session in {str(parent)!r}: {error.strerror}",
            "set storage.node_local to a folder that exists on every node and that you can write to",
        ) from error
    return session


def sweep_sessions(parent: Path) -> None:
    """Remove session folders of this user whose agent is dead: a killed agent cannot clean up after itself."""
    for session in parent.glob(f"{SESSION_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            if session.is_symlink() or session.stat().st_uid != os.getuid():
                continue
            owner = read_json(session / _OWNER) or {}
            if owner["scope"] == _pid_scope() and not _lives(int(owner["pid"]), float(owner["started"])):
                shutil.rmtree(session, ignore_errors=True)


def _pid_scope() -> str:
    """Where our process ids mean something: this boot of this machine, and this PID namespace of it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _lives(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 2
    except psutil.Error:
        return False


def versions() -> dict[str, str]:
    """Versions that must be the same on every node."""
    found = {"python": platform.python_version(), "curator-slurm": __version__}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["ray"] = metadata.version("ray")
    return found


def check_versions(own: dict[str, str], head: dict[str, str]) -> None:
    """Ray refuses nodes of another version only after a while and in its own words; we say it at once."""
    different = [
        f"{name} {own.get(name)} here, {head[name]} on the head" for name in head if own.get(name) != head[name]
    ]
    if different:
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"versions differ from the head's: {'; '.join(different)}",
            "use one environment, on shared storage or installed identically on every node",
        )


def check_shared_memory(free: int, needed: int) -> None:
    """/dev/shm must hold Ray's object store; sizes in bytes."""
    if free < needed:
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"/dev/shm has {free >> 20} MB free, and Ray's smallest object store needs {needed >> 20} MB",
            "free /dev/shm on the node, or ask the administrators for a larger one",
        )
