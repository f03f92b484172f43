"""The facts of a node, gathered by what the agents of a run use themselves; nothing here judges, or ends a job."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import psutil

from curator_slurm.common.file_systems import file_system_of
from curator_slurm.launcher.agent import (
    allocation,
    ephemeral_ports,
    gpu_health,
    ports,
    preflight,
    process_limits,
    ray_access,
    ray_process,
    session,
)
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.network import NodeNetwork, node_address
from curator_slurm.launcher.doctor.machine_facts import AddressFacts, GpuFacts, LocalFacts, NodeFacts
from curator_slurm.launcher.doctor.meeting import sample_ports
from curator_slurm.launcher.doctor.shared_folder import look_at
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.plan import checks
from curator_slurm.launcher.plan.local_disk import local_disk
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.node_facts import addressing
from curator_slurm.launcher.staging.archive_format import ZSTD, best_format

RUNTIMES = ("apptainer", "singularity", "enroot", "podman", "podman-hpc", "shifter", "ch-run")
PACKAGES = ("cosmos-xenna", "nemo-curator", "numpy", "pandas", "pyarrow", "pydantic", "PyYAML", "torch")
"""Beside Python, Ray and this package: what workers exchange objects of."""
_LONGEST_SOCKET = "/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store.12"
"""What Ray appends to its folder."""


def examine(plan: Plan, given: Allocation, group: str | None, environ: Mapping[str, str], runs: Path) -> NodeFacts:
    """Everything about this node but its network."""
    ray_problem, ray_step = "", ""
    try:
        ray_access.check_version()
    except BootstrapError as error:
        ray_problem, ray_step = str(error), error.next_step
    return NodeFacts(
        node=given.node_name,
        number=given.node_id,
        nodes=given.nodes,
        clock=time.time(),
        python=sys.executable,
        versions=dict(versions()),
        ray_problem=ray_problem,
        ray_step=ray_step,
        cpus=given.cpus,
        cpus_online=os.cpu_count() or 1,
        cpus_allowed=allocation.available_cpus(),
        memory=given.memory,
        memory_promised=_promised(given, environ),
        memory_machine=psutil.virtual_memory().total,
        shm_free=ray_process.shared_memory_size(),
        storage=look_at(runs),
        local=_node_local(plan, group, environ),
        gpus=_gpus(given, environ),
        network=AddressFacts(),
        limits=tuple(process_limits.raise_limits(len(given.nodes))),
        modules=tuple(sorted(filter(None, environ.get("LOADEDMODULES", "").split(":")))),
        proxies=proxies(environ),
        runtimes=tuple(name for name in RUNTIMES if shutil.which(name)),
        has_zstd=best_format() == ZSTD,
        places=tuple(_places(plan, environ)),
    )


def versions() -> Iterator[tuple[str, str]]:
    """Name and version of what must be equal on all nodes, as far as it is installed."""
    yield from preflight.versions().items()
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables about proxies by which libraries reach the internet; passwords in them are left out."""
    found = {name: environ[name] for name in sorted(environ) if re.fullmatch("(https?|all|no)_proxy", name.lower())}
    return {name: re.sub("//[^/@]*@", "//...@", value) for name, value in found.items()}


def examine_network(plan: Plan, given: Allocation) -> tuple[AddressFacts, ports.PortBlock | None]:
    """The address and a block of ports, which the caller must release."""
    interfaces = tuple(str(each) for each in NodeNetwork().interfaces())
    used, note = ephemeral_ports.range_of(plan)
    found = AddressFacts(interfaces=interfaces, port_range=used, port_note=note or "")
    try:
        address = node_address(given.node_name, addressing(plan))
    except BootstrapError as error:
        return found.model_copy(update={"problem": str(error), "step": error.next_step}), None
    found = found.model_copy(update={"address": address})
    try:
        block = ports.reserve_ports(used, given.cpus)
    except BootstrapError as error:
        return found.model_copy(update={"port_problem": str(error), "port_step": error.next_step}), None
    return found.model_copy(update={"listens": tuple(sample_ports(block))}), block


def _promised(given: Allocation, environ: Mapping[str, str]) -> int:
    with contextlib.suppress(ValueError):
        return allocation.memory_promised(environ, given.node_name, given.cpus, given.gpus)
    return 0


def _gpus(given: Allocation, environ: Mapping[str, str]) -> GpuFacts:
    if not given.gpus:
        return GpuFacts()
    report, visible = gpu_health.ask_gpus(), allocation.visible_gpus(environ)
    return GpuFacts(
        promised=given.gpus,
        tool=report.tool,
        seen=len(report.gpus),
        driver=report.driver,
        problems=tuple(gpu_health.problems(report, given.gpus, visible)),
    )


def _node_local(plan: Plan, group: str | None, environ: Mapping[str, str]) -> LocalFacts:
    """Make a session as an agent does, and the socket with the longest path in it; both are removed again."""
    disk = local_disk(plan, group)
    path = disk.path or "/tmp"
    made = None
    try:
        folder = session.folder_of(disk.path, environ)
        path = str(folder)
        made = session.make_session_dir(folder, re.sub("[^0-9]", "", environ.get("SLURM_JOB_ID", "0"))[-8:])
        session.check_room(folder, disk)
        problem = _socket_problem(made)
        return LocalFacts(
            path=path,
            problem=problem,
            step="name another folder with storage.node_local" if problem else "",
            kind=file_system_of(folder),
            free_bytes=shutil.disk_usage(folder).free,
            linked=made.parent != folder,
        )
    except BootstrapError as error:
        return LocalFacts(path=path, problem=str(error), step=error.next_step)
    except OSError as error:
        step = "name another folder with storage.node_local"
        return LocalFacts(path=path, problem=f"{error.strerror}: {error.filename}", step=step)
    finally:
        if made is not None:
            session.remove_session(made)


def _socket_problem(made: Path) -> str:
    """Why Ray's sockets cannot be in the session folder; empty where they can."""
    longest = f"{made}/ray{_LONGEST_SOCKET}"
    try:
        Path(longest).parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(longest)
    except OSError as error:
        return f"no socket can be made at {longest} ({len(longest)} characters): {error.strerror or error}"
    return ""


def _places(plan: Plan, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the spec names and this node does not have; secrets come to runs in another way."""
    with contextlib.suppress(OSError, ValueError):
        for key, message in checks.problems(plan.spec, environ, Path(plan.spec_dir), publishes=False):
            if not key.startswith(("environment.secrets", "executor.backend", "storage.runs")):
                yield key, message


def host() -> str:
    return platform.node().partition(".")[0]
