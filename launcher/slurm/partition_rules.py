"""The rules of each partition, as `scontrol --oneliner show partition` tells them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from curator_slurm.launcher.slurm.scontrol_records import ScontrolRecord, parse_records

_ALL = frozenset({"ALL", ""})


@dataclass(frozen=True, kw_only=True)
class PartitionRules:
    """What one partition allows; None is no limit, or none of its own."""

    name: str
    is_default: bool
    state: str
    node_count: int | None
    default_time_s: int | None
    max_time_s: int | None
    min_nodes: int | None
    max_nodes: int | None
    whole_nodes: bool
    """OverSubscribe=EXCLUSIVE."""
    priority_tier: int
    preempt_mode: str
    """OFF is empty; else what happens to its jobs: REQUEUE, CANCEL, SUSPEND."""
    qos: str
    """The QOS whose limits all of its jobs have, too."""
    restricted: tuple[str, ...]
    """Who may use it where not everybody may: AllowAccounts=..., AllowGroups=..., in Slurm's words."""
    follows: tuple[str, ...]
    """JobDefaults: DefCpuPerGPU=N, DefMemPerGPU=N."""

    @property
    def is_up(self) -> bool:
        return self.state == "UP"


def parse_partition_rules(text: str) -> list[PartitionRules]:
    """The partitions, in Slurm's order.

    Raises:
        UnreadableOutputError: it is something else.
    """
    return [_rules(record) for record in parse_records(text, "PartitionName")]


def _rules(found: ScontrolRecord) -> PartitionRules:
    closed = [f"{key}=YES" for key in ("RootOnly", "ReqResv") if found.is_yes(key)]
    for key in ("AllowGroups", "AllowAccounts", "AllowQos", "DenyAccounts", "DenyQos", "DenyQOS"):
        if found.text(key) not in _ALL:
            closed.append(f"{key}={found.text(key)}")
    mode = found.text("PreemptMode").upper()
    return PartitionRules(
        name=found.text("PartitionName"),
        is_default=found.is_yes("Default"),
        state=found.text("State").upper(),
        node_count=found.number("TotalNodes"),
        default_time_s=found.seconds("DefaultTime"),
        max_time_s=found.seconds("MaxTime"),
        min_nodes=found.number("MinNodes"),
        max_nodes=found.number("MaxNodes"),
        whole_nodes=found.text("OverSubscribe").upper() == "EXCLUSIVE",
        priority_tier=found.number("PriorityTier") or 0,
        preempt_mode="" if mode == "OFF" else mode,
        qos=found.text("QoS"),
        restricted=tuple(closed),
        follows=found.words("JobDefaults"),
    )


def is_preempted(rules: PartitionRules, every: list[PartitionRules], preempt_type: str) -> bool:
    """Whether jobs of other partitions may push out those of this one."""
    highest = max((each.priority_tier for each in every), default=0)
    by_partition = preempt_type == "partition_prio"
    return by_partition and bool(rules.preempt_mode) and rules.priority_tier < highest
