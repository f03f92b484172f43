"""Accounts and limits of a user, as `sacctmgr --parsable2` prints its whole tables. Pure.

Columns are found by their names, and one that a version does not have is empty: names of columns that one can ask
for differ between versions, those that are printed unasked have stayed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.slurm_time import seconds

_TRES = re.compile(r"(?:^|,)([\w/:.-]+)=([0-9]{1,12})")


@dataclass(frozen=True, kw_only=True)
class Association:
    """An account of the user, and what limits he has there."""

    account: str
    partition: str
    max_submitted: int | None
    max_running: int | None
    qos: tuple[str, ...]
    default_qos: str


@dataclass(frozen=True, kw_only=True)
class QosLimits:
    """The limits of a QOS that one job or one user meets; None is none."""

    name: str
    max_submitted: int | None
    max_running: int | None
    max_time_s: int | None
    max_nodes: int | None
    max_gpus: int | None
    preempts: tuple[str, ...]
    """The QOS whose jobs its own may push out."""


def parse_associations(text: str) -> list[Association]:
    """The output of `sacctmgr --parsable2 show assoc user=NAME`."""
    return [
        Association(
            account=row.get("Account", ""),
            partition=row.get("Partition", ""),
            max_submitted=whole_number(row.get("MaxSubmit", "")),
            max_running=whole_number(row.get("MaxJobs", "")),
            qos=tuple(name for name in row.get("QOS", "").split(",") if name),
            default_qos=row.get("Def QOS", ""),
        )
        for row in _table(text, "Account")
    ]


def parse_qos(text: str) -> list[QosLimits]:
    """The output of `sacctmgr --parsable2 show qos`."""
    found = []
    for row in _table(text, "Name"):
        most = {name: int(count) for name, count in _TRES.findall(row.get("MaxTRES", ""))}
        found.append(
            QosLimits(
                name=row["Name"],
                max_submitted=whole_number(row.get("MaxSubmitPU", "")),
                max_running=whole_number(row.get("MaxJobsPU", "")),
                max_time_s=seconds(row.get("MaxWall", "")),
                max_nodes=most.get("node"),
                max_gpus=most.get("gres/gpu"),
                preempts=tuple(name for name in row.get("Preempt", "").split(",") if name),
            )
        )
    return found


def parse_default_account(text: str) -> str:
    """The output of `sacctmgr --parsable2 show user NAME`; empty where there is none."""
    return next((row.get("Def Acct", "") for row in _table(text, "User")), "")


def _table(text: str, key: str) -> list[Mapping[str, str]]:
    """The rows by the names of their columns.

    Raises:
        UnreadableOutputError: no line is the header.
    """
    lines = [line for line in text.splitlines() if "|" in line]
    start = next((number for number, line in enumerate(lines) if key in line.split("|")), None)
    if start is None:
        raise UnreadableOutputError(f"no line is a header with {key}")
    header = lines[start].split("|")
    return [
        dict(zip(header, line.split("|"), strict=True))
        for line in lines[start + 1 :]
        if line.count("|") == len(header) - 1
    ]
