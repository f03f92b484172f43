"""Ask Slurm what there is: one call for each table, none that changes anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.runs.owners import user_name
from curator_slurm.launcher.slurm import account_limits, cluster_config, messages, node_groups, partition_rules
from curator_slurm.launcher.slurm.account_limits import Association, QosLimits
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.cluster_config import SlurmConfiguration
from curator_slurm.launcher.slurm.node_groups import EqualNodes, NodeExtras
from curator_slurm.launcher.slurm.partition_rules import PartitionRules
from curator_slurm.launcher.slurm.tables import UnreadableOutputError

_T = TypeVar("_T")
_MOST_EXAMPLES = 200
"""Nodes that are looked at one by one, one of each group."""


@dataclass(frozen=True, kw_only=True)
class ClusterAnswers:
    """What Slurm has said."""

    user: str
    configuration: SlurmConfiguration
    partitions: Sequence[PartitionRules]
    groups: Sequence[EqualNodes]
    extras: Mapping[str, NodeExtras]
    """Of one node of each group, by its name."""
    associations: Sequence[Association] = ()
    qos: Sequence[QosLimits] = ()
    default_account: str = ""
    unanswered: Sequence[str] = ()
    """Commands that were refused, and why: a file can be written without them."""

    def of(self, partition: str) -> list[EqualNodes]:
        """The groups of nodes of a partition."""
        return [group for group in self.groups if group.partition == partition]

    def usable_cpus(self, group: EqualNodes) -> int:
        """CPUs of such a node that a job may have."""
        extras = self.extras.get(group.example)
        return min(group.cpus, extras.usable_cpus or group.cpus) if extras else group.cpus

    def usable_memory_mb(self, group: EqualNodes) -> int:
        extras = self.extras.get(group.example)
        return group.memory_mb - (extras.kept_memory_mb if extras else 0)

    def qos_named(self, name: str) -> QosLimits | None:
        return next((each for each in self.qos if each.name == name), None)


def ask_cluster(slurm: Slurm) -> ClusterAnswers:
    """What the cluster of this machine says.

    Raises:
        SlurmError: it does not answer, or not what was asked for.
    """
    unanswered: list[str] = []
    user = user_name(os.geteuid())
    scontrol, sacctmgr = ["scontrol", "--oneliner", "show"], ["sacctmgr", "--readonly", "--parsable2", "show"]
    configuration = _asked(slurm, ["scontrol", "show", "config"], cluster_config.parse_slurm_configuration)
    partitions = _asked(slurm, [*scontrol, "partition"], partition_rules.parse_partition_rules)
    sinfo = ["sinfo", "--noheader", "--exact", f"--format={node_groups.GROUPS_FORMAT}"]
    groups = _asked(slurm, sinfo, node_groups.parse_node_groups)
    examples = list(dict.fromkeys(group.example for group in groups if group.example))[:_MOST_EXAMPLES]
    nodes = [*scontrol, "node", ",".join(examples)]
    extras: list[NodeExtras] = []
    if examples:
        extras = _tried(slurm, nodes, node_groups.parse_node_extras, extras, unanswered)
    associations: list[Association] = []
    qos: list[QosLimits] = []
    account = ""
    if configuration.has_accounting:
        assoc = [*sacctmgr, "assoc", f"user={user}"]
        associations = _tried(slurm, assoc, account_limits.parse_associations, [], unanswered)
        qos = _tried(slurm, [*sacctmgr, "qos"], account_limits.parse_qos, [], unanswered)
        account = _tried(slurm, [*sacctmgr, "user", user], account_limits.parse_default_account, "", unanswered)
    return ClusterAnswers(
        user=user,
        configuration=configuration,
        partitions=partitions,
        groups=groups,
        extras={each.name: each for each in extras},
        associations=associations,
        qos=qos,
        default_account=account,
        unanswered=unanswered,
    )


def _asked(slurm: Slurm, command: Sequence[str], parser: Callable[[str], _T]) -> _T:
    text = slurm.run(command)
    try:
        return parser(text)
    except UnreadableOutputError as error:
        raise SlurmError(messages.unreadable(command, str(error)), command, 0, text) from error


def _tried(
    slurm: Slurm, command: Sequence[str], parser: Callable[[str], _T], otherwise: _T, unanswered: list[str]
) -> _T:
    """The same where no answer is no error; why there is none is noted."""
    try:
        return parser(slurm.run(command, retry=False))
    except (SlurmError, UnreadableOutputError) as error:
        unanswered.append(f"{' '.join([command[0], *command[-2:]])}: {str(error).splitlines()[0]}")
        return otherwise
