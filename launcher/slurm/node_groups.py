"""Nodes by groups of equal ones, with features, as `sinfo` tells them; and what `scontrol show node` adds. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.nodelists import expand_nodelist
from curator_slurm.launcher.slurm.partitions import gpus_of
from curator_slurm.launcher.slurm.scontrol_records import parse_records
from curator_slurm.launcher.slurm.tables import UnreadableOutputError

GROUPS_FORMAT = "%P|%D|%c|%m|%G|%f|%F|%N"
"""Partition, nodes, CPUs, MB, generic resources, features, nodes by state (A/I/O/T), names."""
_FIELDS = GROUPS_FORMAT.count("|") + 1
_LEADING = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, kw_only=True)
class EqualNodes:
    """Equal nodes of a partition; `gpus` is by type, the empty one where Slurm has no types."""

    partition: str
    nodes: int
    cpus: int
    memory_mb: int
    gpus: tuple[tuple[str, int], ...]
    features: tuple[str, ...]
    idle: int
    names: str
    """As Slurm writes a list of nodes: n[1-3]."""

    @property
    def example(self) -> str:
        """One of them; empty where the list cannot be read."""
        try:
            return next(iter(expand_nodelist(self.names)), "")
        except ValueError:
            return ""


@dataclass(frozen=True, kw_only=True)
class NodeExtras:
    """What a job may not have of a node: CPUs and memory that the system keeps (CoreSpecCount, MemSpecLimit)."""

    name: str
    cpus: int | None
    usable_cpus: int | None
    kept_memory_mb: int


def parse_node_groups(text: str) -> list[EqualNodes]:
    """The output of `sinfo --noheader --exact --format=GROUPS_FORMAT`; lines that are no rows are passed over.

    Raises:
        UnreadableOutputError: no row is among them.
    """
    groups = [group for line in text.splitlines() if (group := _group(line.split("|"))) is not None]
    if not groups:
        raise UnreadableOutputError("no line is a partition")
    return groups


def _group(fields: Sequence[str]) -> EqualNodes | None:
    if len(fields) != _FIELDS:
        return None
    partition, nodes, cpus, memory, gres, features, states, names = (field.strip() for field in fields)
    counts = [_LEADING.match(text) for text in (nodes, cpus, memory)]
    if not partition or not all(counts):
        return None
    count, each_cpus, each_memory = (int(match[0]) for match in counts if match)
    idle = states.split("/")[1:2]
    return EqualNodes(
        partition=partition.removesuffix("*"),
        nodes=count,
        cpus=each_cpus,
        memory_mb=each_memory,
        gpus=gpus_of(gres),
        features=() if features in ("(null)", "") else tuple(features.split(",")),
        idle=(whole_number(idle[0]) or 0) if idle else 0,
        names=names,
    )


def parse_node_extras(text: str) -> list[NodeExtras]:
    """The output of `scontrol --oneliner show node`. CPUEfctv is there since Slurm 22.05."""
    return [
        NodeExtras(
            name=found.text("NodeName"),
            cpus=found.number("CPUTot"),
            usable_cpus=found.number("CPUEfctv"),
            kept_memory_mb=found.number("MemSpecLimit") or 0,
        )
        for found in parse_records(text, "NodeName")
    ]
