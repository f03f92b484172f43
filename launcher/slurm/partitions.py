"""What partitions have, as `sinfo` tells it, and why a job could never start in them. Pure.

Slurm accepts a job that asks for more than its partition has, and lets it wait for ever; `sbatch --test-only` refuses
it with the words that it also has for nodes that are drained today. Only the comparison tells the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import several
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.slurm_time import seconds, time_text

SINFO_FORMAT = "%P|%D|%c|%m|%l|%s|%G"
"""Partition, nodes, CPUs, MB, time limit, nodes of a job, generic resources: of each group of equal nodes."""
_NUMBER = re.compile(r"[0-9]{1,12}")
_GPU = re.compile(r"(?<!\w)gpu(?::(?!no_consume:)([\w.-]+))?(?::no_consume)?:([0-9]{1,6})", re.ASCII)
"""A type may begin with a digit, or be one number: gpu:2080ti:8, gpu:3090:2."""


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Equal nodes of a partition; None is no limit. `gpus` is by type, the empty one where Slurm has no types."""

    partition: str
    is_default: bool
    nodes: int
    cpus: int
    memory_mb: int
    time_limit_s: int | None
    most_nodes: int | None
    gpus: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a job asks for: on each of its nodes, and its time. None is what it leaves to Slurm."""

    partitions: tuple[str, ...] = ()
    nodes: int = 1
    cpus: int | None = None
    memory_mb: int | None = None
    gpus: int = 0
    gpu_type: str = ""
    time_s: int | None = None


@dataclass(frozen=True)
class TrialAnswer:
    """What `sbatch --test-only` says: whether it would accept the job, its words, and the partition if it names one."""

    accepted: bool
    words: str = ""
    partition: str = ""


@dataclass(frozen=True)
class Shortfall:
    """The setting of the spec that asks for more than a partition has, and both figures in words."""

    key: str
    words: str


def parse_partitions(text: str) -> list[NodeGroup]:
    """The groups in what `sinfo --noheader --exact --format=SINFO_FORMAT` prints.

    Raises:
        UnreadableOutputError: no row is among them.
    """
    return [_group(row) for row in group_rows(text, SINFO_FORMAT)]


def group_rows(text: str, columns: str) -> list[dict[str, str]]:
    """Rows of `sinfo --noheader --exact`, by the letters of `columns`; lines that are no rows are passed over.

    Nodes (%D), CPUs (%c) and MB (%m) are digits alone: Slurm writes 64+ where nodes differ.

    Raises:
        UnreadableOutputError: no row is among them.
    """
    names = columns.split("|")
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        row = dict(zip(names, cells, strict=False))
        counts = {name: match[0] for name in ("%D", "%c", "%m") if (match := _NUMBER.match(row.get(name, "")))}
        if len(cells) == len(names) and row["%P"] and len(counts) == 3:
            rows.append({**row, **counts})
    if not rows:
        raise UnreadableOutputError("no line is a partition")
    return rows


def _group(row: Mapping[str, str]) -> NodeGroup:
    most = row["%s"].rpartition("-")[2]
    return NodeGroup(
        partition=row["%P"].removesuffix("*"),
        is_default=row["%P"].endswith("*"),
        nodes=int(row["%D"]),
        cpus=int(row["%c"]),
        memory_mb=int(row["%m"]),
        time_limit_s=seconds(row["%l"]),
        most_nodes=int(most) if _NUMBER.fullmatch(most) else None,
        gpus=gpus_of(row["%G"]),
    )


def gpus_of(gres: str) -> tuple[tuple[str, int], ...]:
    """GPUs by type in a list of generic resources, such as gpu:a100:4(S:0-1),nvme:1; the empty type is none."""
    return tuple((match[1] or "", int(match[2])) for match in _GPU.finditer(gres) if int(match[2]))


def shortfalls(request: Request, groups: Sequence[NodeGroup]) -> list[Shortfall]:
    """What the partitions of a job have too little of; empty where one of them could hold it, or none is known."""
    names = request.partitions or tuple(dict.fromkeys(group.partition for group in groups if group.is_default))
    found: list[Shortfall] = []
    for name in names:
        own = [group for group in groups if group.partition == name]
        if not own or not (short := [*_short_of_time(request, name, own), *_short_of_nodes(request, name, own)]):
            return []
        found += short
    return found


def _short_of_time(request: Request, name: str, groups: Sequence[NodeGroup]) -> list[Shortfall]:
    limit = groups[0].time_limit_s
    if request.time_s is None or limit is None or request.time_s <= limit:
        return []
    words = f"partition {name} has a time limit of {time_text(limit)}, and the job asks for {time_text(request.time_s)}"
    return [Shortfall("resources.time", words)]


def _short_of_nodes(request: Request, name: str, groups: Sequence[NodeGroup]) -> list[Shortfall]:
    count = sum(group.nodes for group in groups)
    if groups[0].most_nodes is not None and groups[0].most_nodes < request.nodes:
        most = groups[0].most_nodes
        words = f"a job in partition {name} may have {several(most, 'node')}, and this one asks for {request.nodes}"
        return [Shortfall("resources.nodes", words)]
    if count < request.nodes:
        words = f"partition {name} has {several(count, 'node')}, and the job asks for {request.nodes}"
        return [Shortfall("resources.nodes", words)]
    found = []
    asked = (
        ("cpus_per_node", request.cpus or 0, "CPUs", lambda group: group.cpus),
        ("mem_per_node", request.memory_mb or 0, "MB of memory", lambda group: group.memory_mb),
        ("gpus_per_node", request.gpus, f"GPUs{_of_type(request)}", lambda group: _gpus(request, group)),
    )
    for key, wanted, what, has in asked:
        most = max(has(group) for group in groups)
        if wanted > most:
            words = f"no node of partition {name} has more than {most:,} {what}, and the job asks for {wanted:,}"
            found.append(Shortfall(f"resources.{key}", words))
    fitting = sum(group.nodes for group in groups if all(wanted <= has(group) for _, wanted, _, has in asked))
    if not found and fitting < request.nodes:
        words = (
            f"{several(fitting, 'node')} of partition {name} {'has' if fitting == 1 else 'have'} "
            f"what the job asks for on each "
            f"of its {several(request.nodes, 'node')}"
        )
        found.append(Shortfall("resources.nodes", words))
    return found


def _gpus(request: Request, group: NodeGroup) -> int:
    return sum(count for kind, count in group.gpus if not request.gpu_type or kind == request.gpu_type)


def _of_type(request: Request) -> str:
    return f" of type {request.gpu_type}" if request.gpu_type else ""
