"""Checks of each node by itself, from its facts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import several
from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.agent import preflight, ray_process
from curator_slurm.launcher.doctor.machine_facts import FolderFacts, NodeFacts
from curator_slurm.launcher.doctor.report import Check, Judgement, failed, of_nodes, ok, skipped, warning
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.staging.local_copies import SPARE

_LITTLE_SPACE, _SOME_SPACE = 1 << 30, 10 << 30
_FEW_FILES = 10_000
_NODE_STEP = "exclude the node (resources.sbatch.exclude) and tell the administrators of the cluster"


@dataclass(frozen=True)
class NodeNeeds:
    """What the spec and the site ask of nodes."""

    ray: bool = True
    object_store_fraction: float = 0.3
    runtimes: Sequence[str] = ()
    """That the site says there are."""
    check_gpus: bool = True
    image: str = ""
    """Of the spec's container; empty without one."""
    staged: int | None = None
    """Bytes of what goes to the nodes' own disks; None where nothing does."""


def check_nodes(facts: Mapping[str, NodeFacts], wanted: NodeNeeds) -> list[Check]:
    """All of them, about all nodes that have answered."""
    judges: Mapping[str, Callable[[NodeFacts], Iterator[Judgement]]] = {
        "storage-semantics": lambda node: semantics(node.storage),
        "free-space": lambda node: free_space(node.storage),
        "paths": _paths,
        "node-local": _node_local,
        "shared-memory": lambda node: _shared_memory(node, wanted),
        "cpus": _cpus,
        "memory": _memory,
        "gpus": lambda node: _gpus(node, wanted),
        "address": lambda node: _address(node, wanted),
        "ports": lambda node: _ports(node, wanted),
        "ray": lambda node: _ray(node, wanted),
        "limits": _limits,
        "staging": lambda node: _staging(node, wanted),
        "containers": lambda node: _containers(node, wanted),
    }

    def judged(judge: Callable[[NodeFacts], Iterator[Judgement]]) -> Callable[[str], Iterator[Judgement]]:
        return lambda name: judge(facts[name])

    return [found for name, judge in judges.items() for found in of_nodes(name, list(facts), judged(judge))]


def semantics(folder: FolderFacts) -> Iterator[Judgement]:
    """What a folder does on one machine."""
    if folder.problem:
        return
    for lack in folder.lacks:
        yield failed(
            f"{folder.path} has no {lack}", "put the runs folder (storage.runs) on a file system of the cluster"
        )
    if not folder.locks:
        step = "nothing to do: runs use it only where it works"
        yield warning(f"flock does not work in {folder.path}", step)
    if not folder.lacks:
        kind = f" ({folder.kind})" if folder.kind else ""
        yield ok(f"rename, links, mkdir and modes work in {folder.path}{kind}")


def free_space(folder: FolderFacts) -> Iterator[Judgement]:
    """Room for the records and outputs of runs."""
    if folder.problem or folder.free_bytes is None:
        return
    free, step = format_size(folder.free_bytes), "make room, or name another folder with storage.runs"
    if folder.free_bytes < _LITTLE_SPACE:
        yield failed(f"{folder.path} has {free} free", step)
    elif folder.free_bytes < _SOME_SPACE:
        yield warning(f"{folder.path} has {free} free", step)
    if folder.free_files is not None and folder.free_files < _FEW_FILES:
        yield failed(f"{folder.path} has room for {folder.free_files:,} more files (inodes)", step)
    elif folder.free_bytes >= _SOME_SPACE:
        yield ok(f"room in {folder.path}, and 4 MiB could be written")


def _paths(node: NodeFacts) -> Iterator[Judgement]:
    for key, message in node.places:
        text = message if f"`{key.partition('.')[0]}" in message else f"`{key}`: {message}"
        yield failed(text, "put it on storage that every node mounts at the same path")
    if not node.places:
        yield ok("everything that the spec names is there")


def _node_local(node: NodeFacts) -> Iterator[Judgement]:
    local = node.local
    if local.problem:
        yield failed(local.problem, local.step)
        return
    links = "; its path is long, so Ray's sockets are in /tmp" if local.linked else ""
    yield ok(f"{local.path} takes Ray's session{links}")


def _shared_memory(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    if not wanted.ray:
        yield skipped("the spec needs no Ray")
        return
    try:
        preflight.check_shared_memory(node.shm_free, ray_process.MIN_OBJECT_STORE)
    except BootstrapError as error:
        yield failed(str(error), error.next_step)
        return
    asked = int(node.memory * wanted.object_store_fraction)
    _, store = ray_process.split_memory(node.memory, wanted.object_store_fraction, node.shm_free)
    if store < asked * 0.95:
        yield warning(
            f"/dev/shm has {format_size(node.shm_free)} free, so the object store is {format_size(store)} and not "
            f"{format_size(asked)} (cluster.object_store_fraction): Ray spills to disk earlier",
            "ask the administrators for a larger /dev/shm (half of the node's memory is usual)",
        )
    else:
        yield ok("/dev/shm holds the object store")


def _cpus(node: NodeFacts) -> Iterator[Judgement]:
    usable = min(node.cpus, node.cpus_online)
    if node.cpus_allowed < usable:
        yield failed(
            f"Slurm has given {several(node.cpus, 'CPU')}, and processes may run on {node.cpus_allowed}",
            "ask for CPUs with resources.cpus_per_node; if that is done, the site's binding of tasks is at fault: "
            "show this to the administrators",
        )
    elif node.cpus_online < node.cpus:
        step = "correct CPUs= of the node in slurm.conf, or take it as it is: workers share CPUs"
        yield warning(f"Slurm has given {several(node.cpus, 'CPU')}, and the node has {node.cpus_online}", step)
    else:
        yield ok(f"{several(node.cpus, 'CPU')} given and seen")


def _memory(node: NodeFacts) -> Iterator[Judgement]:
    if node.memory_promised > node.memory_machine:
        yield failed(
            f"Slurm has given {format_size(node.memory_promised)}, and the node has {format_size(node.memory_machine)}",
            _NODE_STEP,
        )
    elif node.memory_promised and node.memory < node.memory_promised * 0.95:
        yield warning(
            f"Slurm has given {format_size(node.memory_promised)}, and the job's control group allows "
            f"{format_size(node.memory)}",
            "ask the administrators; runs use the smaller figure",
        )
    else:
        yield ok(f"{format_size(node.memory)} for the job")


def _gpus(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    gpus = node.gpus
    if not gpus.promised:
        yield skipped("no GPUs asked for")
    elif not gpus.tool:
        yield skipped(
            f"Slurm has given {several(gpus.promised, 'GPU')}, and there is neither nvidia-smi nor rocm-smi to ask"
        )
    elif gpus.problems:
        verdict = failed if wanted.check_gpus else warning
        yield verdict("; ".join(gpus.problems), _NODE_STEP)
    else:
        yield ok(f"{several(gpus.promised, 'GPU')}, and {gpus.tool} finds no fault in them")


def _address(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    if not wanted.ray:
        yield skipped("the spec needs no Ray")
    elif node.network.problem:
        yield failed(node.network.problem, node.network.step)
    else:
        yield ok(f"address {node.network.address}")


def _ports(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    network = node.network
    if not wanted.ray:
        yield skipped("the spec needs no Ray")
    elif network.port_problem:
        yield failed(network.port_problem, network.port_step)
    elif network.problem:
        yield skipped("the node has no address for Ray")
    elif "overlaps" in network.port_note and network.port_note.startswith("network.port_range"):
        yield warning(network.port_note, "name another range with network.port_range")
    else:
        yield ok(f"a free block of ports in {network.port_range[0]}-{network.port_range[1]}")


def _ray(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    if not wanted.ray:
        yield skipped("the spec needs no Ray")
    elif node.ray_problem:
        yield failed(node.ray_problem, node.ray_step)
    else:
        yield ok(f"Ray {node.versions.get('ray', '')}")


def _limits(node: NodeFacts) -> Iterator[Judgement]:
    for sentence in node.limits:
        said, _, step = sentence.partition("; ")
        yield warning(said, step)
    if not node.limits:
        yield ok("limits of open files and processes are high enough")


def _staging(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    local = node.local
    if wanted.staged is None or local.problem:
        yield skipped("the spec stages nothing" if wanted.staged is None else "the node-local folder cannot be used")
        return
    if not node.has_zstd and not wanted.image:
        step = "have zstd installed, or use Python 3.14, or pyarrow in the environment"
        yield warning("there is no zstd: archives are made with gzip, and those made with zstd cannot be read", step)
    if local.free_bytes is not None and local.free_bytes < wanted.staged + SPARE:
        yield warning(
            f"{local.path} has {format_size(local.free_bytes)} free, and what is staged takes "
            f"{format_size(wanted.staged)}: the node would use shared storage",
            "make room, or name another folder with storage.node_local",
        )
    else:
        yield ok(f"{local.path} has room for what is staged, {format_size(wanted.staged)}")


def _containers(node: NodeFacts, wanted: NodeNeeds) -> Iterator[Judgement]:
    if wanted.image:
        yield ok(f"the processes of nodes ran in {wanted.image}")
        return
    known = {"charliecloud": "ch-run"}
    on_path = [name for name in wanted.runtimes if name not in ("pyxis", "edf")]
    missing = [name for name in on_path if known.get(name, name) not in node.runtimes]
    if not wanted.runtimes:
        found = ", ".join(node.runtimes) or "none"
        yield skipped(f"the spec has no container; runtimes on PATH: {found}")
    elif missing:
        yield warning(
            f"{', '.join(missing)} (container.runtimes) is not there", "correct container.runtimes of the site file"
        )
    else:
        yield ok(f"there: {', '.join(wanted.runtimes)}")
