"""What this node was given: by Slurm in a job, by the machine itself on the local cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import psutil

from curator_slurm.common.in_words import several
from curator_slurm.launcher.agent.memory import control_group_limit
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.ranges import shortened
from curator_slurm.launcher.slurm.nodelists import MOST_NODES, expand_nodelist

MEGABYTE = 1 << 20
_PER_NODE = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")
LOCAL_JOB_ID = "CURATOR_SLURM_JOB_ID"
JOB_MEMORY = "CURATOR_SLURM_JOB_MEMORY"
"""What scontrol says of the job, in MB: `n[1-3]=4000 n4=8000`."""
MIN_LOCAL_CPUS = 4
"""Logical CPUs of the local cluster, at least: pipelines of several one-CPU stages must run on two cores."""


@dataclass(frozen=True)
class Allocation:
    """One node's share of a job; memory in bytes, `gpu_ids` as in CUDA_VISIBLE_DEVICES."""

    job_id: str
    restart: int
    node_id: int
    nodes: tuple[str, ...]
    cpus: int
    memory: int
    gpus: int
    component: int = 0
    """Of a heterogeneous job: the one that this node belongs to."""
    local: bool = False
    notes: tuple[str, ...] = ()

    @property
    def node_name(self) -> str:
        return self.nodes[self.node_id]

    @property
    def head_name(self) -> str:
        return self.nodes[0]

    @property
    def is_head(self) -> bool:
        return self.node_id == 0


def expand_per_node(text: str) -> list[int]:
    """Numbers of a per-node list such as `4(x2),8`, one for each node.

    Raises:
        ValueError: it is no such list.
    """
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        match = _PER_NODE.fullmatch(part.strip())
        times = int(match[2] or 1) if match else MOST_NODES
        if match is None or times > MOST_NODES - len(numbers):
            raise ValueError(f"not a list of numbers for nodes: {shortened(text)}")
        numbers.extend([int(match[1])] * times)
    return numbers


def slurm_allocation(environ: Mapping[str, str]) -> Allocation:
    """The allocation that Slurm's variables describe inside a step with one task on each node.

    CPUs are those of the job on this node (a step's own variables may say 1); memory is the job's on this node,
    however it was asked for: what Slurm says, or the job's control group where that allows less.

    Raises:
        BootstrapError: the variables are missing, or make no sense.
    """
    try:
        return _slurm_allocation(environ)
    except (KeyError, ValueError) as error:
        why = f"{error.args[0]} is not set" if isinstance(error, KeyError) else str(error)
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"Slurm's variables do not describe this job: {why}",
            "submit the script with sbatch; if it was, tell the administrators of the cluster",
        ) from error


def _slurm_allocation(environ: Mapping[str, str]) -> Allocation:
    array_job, array_task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    job_id = f"{array_job}_{array_task}" if array_job and array_task else environ["SLURM_JOB_ID"]
    node_id = int(environ.get("SLURM_NODEID", "0"))
    given = [(name, cpus, number) for number, part in enumerate(_components(environ)) for name, cpus in part]
    nodes = tuple(name for name, _, _ in given)
    if not 0 <= node_id < len(nodes):
        raise ValueError(f"node {node_id} of {several(len(nodes), 'node')}")
    if len(set(nodes)) < len(nodes):
        twice = next(name for name in nodes if nodes.count(name) > 1)
        raise ValueError(
            f"node {twice} has been given to two groups of the job; ask for whole nodes, with cpus_per_node or "
            "sbatch: {exclusive: true} in resources.groups"
        )
    _, counted, component = given[node_id]
    cpus = int(environ.get("SLURM_CPUS_ON_NODE", "1")) if counted is None else counted
    gpus = int(environ.get("SLURM_GPUS_ON_NODE") or 0) or len(visible_gpus(environ))
    memory = memory_promised(environ, nodes[node_id], cpus, gpus)
    return Allocation(
        job_id=job_id,
        restart=int(environ.get("SLURM_RESTART_COUNT") or 0),
        node_id=node_id,
        nodes=nodes,
        cpus=cpus,
        memory=min(memory, machine_memory()) if memory else machine_memory(),
        gpus=gpus,
        component=component,
    )


def _components(environ: Mapping[str, str]) -> list[list[tuple[str, int | None]]]:
    """Node and CPUs on it, of every component of the job, in the order of the nodes' numbers in the step.

    Of a heterogeneous job `SLURM_JOB_NODELIST` has the nodes sorted by name, and so does not say who has which number.
    """
    size = int(environ.get("SLURM_HET_SIZE") or 1)
    found = []
    for suffix in [f"_HET_GROUP_{number}" for number in range(size)] if size > 1 else [""]:
        names = expand_nodelist(environ.get(f"SLURM_JOB_NODELIST{suffix}") or environ[f"SLURM_NODELIST{suffix}"])
        cpus = expand_per_node(environ.get(f"SLURM_JOB_CPUS_PER_NODE{suffix}", ""))
        found.append(list(zip_longest(names, cpus[: len(names)])))
    return found


def memory_promised(environ: Mapping[str, str], node: str, cpus: int, gpus: int) -> int:
    """Bytes that Slurm says the job has on this node; 0 where it names no limit.

    Its variables follow the option that the job asked with. Where none is set, the script has asked scontrol.
    """
    for name, times in (("SLURM_MEM_PER_NODE", 1), ("SLURM_MEM_PER_GPU", gpus), ("SLURM_MEM_PER_CPU", cpus)):
        if megabytes := int(environ.get(name) or 0) * times:
            return megabytes * MEGABYTE
    for part in environ.get(JOB_MEMORY, "").split():
        names, _, number = part.rpartition("=")
        if node in expand_nodelist(names):
            return int(number) * MEGABYTE
    return 0


def local_allocation(environ: Mapping[str, str], host: str, gpus_wanted: int) -> Allocation:
    """This machine as a cluster of one node; what it lends beyond its hardware is said in `notes`."""
    real = available_cpus()
    cpus = max(real, MIN_LOCAL_CPUS)
    notes = []
    if cpus > real:
        notes.append(f"{several(real, 'CPU')} here; the local cluster shows {cpus}, so that stages take turns on them")
    found = len(visible_gpus(environ)) or len(list(Path("/dev").glob("nvidia[0-9]*")))
    gpus = min(found, gpus_wanted) if found else gpus_wanted
    if gpus > found:
        notes.append(f"no GPU here; {gpus} logical ones stand in, which no program can compute on")
    elif gpus < gpus_wanted:
        notes.append(f"{several(gpus, 'GPU')} here; the spec asks for {gpus_wanted} on a node")
    return Allocation(
        job_id=environ.get(LOCAL_JOB_ID) or f"local-{os.getpid()}",
        restart=0,
        node_id=0,
        nodes=(host,),
        cpus=cpus,
        memory=min(psutil.virtual_memory().available, machine_memory()),
        gpus=gpus,
        local=True,
        notes=tuple(notes),
    )


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """Ids or UUIDs in CUDA_VISIBLE_DEVICES, or ROCm's variable; empty where neither is set."""
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        value = environ.get(name, "").strip()
        if value and value.lower() not in ("nodevfiles", "-1"):
            return [part.strip() for part in value.split(",") if part.strip()]
    return []


def available_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) or os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory of the machine, or what our control group may have of them where that is less."""
    total = psutil.virtual_memory().total
    return min(total, control_group_limit() or total)
