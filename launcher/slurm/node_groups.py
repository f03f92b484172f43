"""Nodes by groups of equal ones, with features, as `sinfo` tells them; and what `scontrol show node` adds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.nodelists import expand_nodelist
from curator_slurm.launcher.slurm.partitions import gpus_of, group_rows
from curator_slurm.launcher.slurm.scontrol_records import parse_records

GROUPS_FORMAT = "%P|%D|%c|%m|%G|%f|%F|%N"
"""Partition, nodes, CPUs, MB, generic resources, features, nodes by state (A/I/O/T), names."""


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
    return [_group(row) for row in group_rows(text, GROUPS_FORMAT)]


def _group(row: Mapping[str, str]) -> EqualNodes:
    idle = row["%F"].split("/")[1:2]
    return EqualNodes(
        partition=row["%P"].removesuffix("*"),
        nodes=int(row["%D"]),
        cpus=int(row["%c"]),
        memory_mb=int(row["%m"]),
        gpus=gpus_of(row["%G"]),
        features=() if row["%f"] in ("(null)", "") else tuple(row["%f"].split(",")),
        idle=(whole_number(idle[0]) or 0) if idle else 0,
        names=row["%N"],
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
