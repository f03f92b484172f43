"""Checks that every node makes before Ray starts on it; a failure names the node and the cure."""

from __future__ import annotations

import contextlib
import platform
import secrets
from importlib import metadata

from curator_slurm.launcher import __version__
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.owners import check_own
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.registry import load_run


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


def versions() -> dict[str, str]:
    """Versions that must be the same on every node."""
    found = {"python": platform.python_version(), "curator-slurm": __version__}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["ray"] = metadata.version("ray")
    return found


GPU_DRIVER = "GPU driver"
"""Among the versions of nodes whose GPUs have said it; nodes without GPUs have none."""


def check_versions(own: dict[str, str], head: dict[str, str]) -> None:
    """Ray refuses nodes of another version only after a while and in its own words; we say it at once."""
    compared = [name for name in head if name != GPU_DRIVER or name in own]
    different = [
        f"{name} {own.get(name)} here, {head[name]} on the head" for name in compared if own.get(name) != head[name]
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
