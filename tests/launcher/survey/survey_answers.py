"""What recorded clusters say, as values."""

from __future__ import annotations

from pathlib import Path

from curator_slurm.launcher.slurm.account_limits import parse_associations, parse_default_account, parse_qos
from curator_slurm.launcher.slurm.cluster_config import parse_slurm_configuration
from curator_slurm.launcher.slurm.node_groups import parse_node_extras, parse_node_groups
from curator_slurm.launcher.slurm.partition_rules import parse_partition_rules
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers

DATA = Path(__file__).parent / "data"


def answers(kind: str = "mixed") -> ClusterAnswers:
    """What the recorded cluster says."""

    def text(name: str) -> str:
        return (DATA / kind / name).read_text()

    return ClusterAnswers(
        user="alice",
        configuration=parse_slurm_configuration(text("config.txt")),
        partitions=parse_partition_rules(text("partitions.txt")),
        groups=parse_node_groups(text("groups.txt")),
        extras={each.name: each for each in parse_node_extras(text("nodes.txt"))},
        associations=parse_associations(text("assoc.txt")),
        qos=parse_qos(text("qos.txt")),
        default_account=parse_default_account(text("user.txt")),
    )
