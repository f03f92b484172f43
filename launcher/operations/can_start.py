"""Whether a job could ever start, asked before it is submitted: Slurm would accept it and let it wait for ever."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.slurm import partitions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.partitions import Request, Shortfall
from curator_slurm.launcher.spec.node_sections import ResourcesSpec
from curator_slurm.launcher.spec.slurm_memory import megabytes
from curator_slurm.launcher.spec.slurm_time import seconds

PATIENCE_S = 15.0
"""For both questions together; without an answer the job is submitted, and sbatch itself tells what is wrong."""
_IMPOSSIBLE = re.compile(
    r"node configuration is not available|node count|more processors|time limit|memory specification|job size"
    r"|partition.*limit",
    re.IGNORECASE,
)
"""Of `sbatch --test-only`: the job is too large. Whatever else it says, sbatch says too, or it is about today."""
_LIFTS_LIMITS = frozenset({"qos", "reservation"})
"""Options with which a job may have more time than its partition allows."""


def check_can_start(plan: Plan, run_dir: Path, script: Path) -> list[str]:
    """Ask Slurm whether this job could start, and return what is worth a note.

    Raises:
        SlurmError: its partition will never have what it asks for.
    """
    slurm = Slurm().within(PATIENCE_S)
    try:
        answer = slurm.test_only(script, run_dir)
    except SlurmError:
        return []
    resources, parts = plan.spec.resources, plan.parts()
    if not answer.accepted and not _IMPOSSIBLE.search(answer.words):
        return []
    if answer.accepted and resources.time is None:
        return []
    try:
        groups = slurm.partitions()
    except SlurmError:
        return [] if answer.accepted else [_doubt(answer.words)]
    named = answer.partition if len(parts) == 1 else ""
    short = [
        replace(each, key=part.key(each.key))
        for part in parts
        for each in partitions.shortfalls(_request(part.resources, named), groups)
    ]
    if answer.accepted:
        short = [each for each in short if each.key == "resources.time"]
    if not short:
        return [] if answer.accepted else [_doubt(answer.words)]
    if not resources.check_limits or (
        answer.accepted and any(_LIFTS_LIMITS & set(part.resources.sbatch) for part in parts)
    ):
        words = "; ".join(each.words for each in short)
        return [f"{words}; it starts only if its QOS or reservation lifts that limit"]
    return _refuse(short, "" if answer.accepted else answer.words)


def _refuse(short: list[Shortfall], words: str) -> list[str]:
    said = f" (sbatch --test-only: {words})" if words else ""
    keys = ", ".join(dict.fromkeys(each.key for each in short))
    raise SlurmError(
        f"the job could never start, so it was not submitted: {'; '.join(each.words for each in short)}{said}.\n"
        f"Change {keys} in the spec, or pass --set {short[0].key}=VALUE. `sinfo -o '%P %D %c %m %l %G'` shows what the "
        "partitions have. Where your default QOS lifts the limit: --set resources.check_limits=false",
        ["sbatch", "--test-only"],
        1,
        "",
        words,
    )


def _doubt(words: str) -> str:
    return (
        f"Slurm says that the job could not start as its nodes are now: {words} (sbatch --test-only). It was submitted "
        "and waits; `sinfo -R` shows nodes that are down or drained"
    )


def _request(resources: ResourcesSpec, partition: str) -> Request:
    """What the job asks for; `partition` is where Slurm would put it."""
    kind, _, _ = (resources.gpus_per_node or "").rpartition(":")
    named = tuple(name for name in (resources.partition or "").split(",") if name)
    return Request(
        partitions=(partition,) if partition else named,
        nodes=resources.nodes,
        cpus=resources.cpus_per_node,
        memory_mb=megabytes(resources.mem_per_node) if resources.mem_per_node else None,
        gpus=resources.gpu_count,
        gpu_type=kind,
        time_s=seconds(resources.time) if resources.time else None,
    )
