"""What the site says of nodes and storage for agents and run directories: addresses, and for how long files stay.

Plain values: without a site file, no model of site files is loaded for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from curator_slurm.launcher.plan.model import Cluster, Plan


@dataclass(frozen=True)
class Addressing:
    """Addresses that nodes use among themselves; `family` is 4 or 6, None for either."""

    interfaces: tuple[str, ...] = ()
    host_suffix: str = ""
    family: int | None = None


def addressing(plan: Plan) -> Addressing:
    """How the nodes of a plan find their addresses; what a site says of its nodes is not about this machine."""
    wanted = tuple(plan.spec.network.interface)
    if plan.site is None or plan.cluster is Cluster.LOCAL:
        return Addressing(wanted)
    facts = plan.at_site().network
    return Addressing(wanted, facts.host_suffix or "", {"ipv4": 4, "ipv6": 6}.get(facts.family))


def purge_days(plan: Plan) -> int | None:
    """Days after which the site deletes unused files in the runs folder; None where that is not known."""
    return None if plan.site is None or plan.cluster is Cluster.LOCAL else plan.at_site().storage.purge_days
