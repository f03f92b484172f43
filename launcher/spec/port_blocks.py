"""How many ports the Ray of a node takes, and how a block of them is laid out. Pure."""

from __future__ import annotations

SERVICES = (
    "gcs",
    "client_server",
    "dashboard",
    "dashboard_metrics",
    "node_manager",
    "object_manager",
    "agent_grpc",
    "agent_http",
    "runtime_env_agent",
    "metrics_export",
)
SLOT = 50
"""Ports are handed out in slots of this many, each with a guard, so that no block lies unseen inside a larger one."""


def guards(first: int, last: int) -> list[int]:
    """Ports of a block that are bound and not used: both ends, and the first of every slot.

    Two blocks that overlap have one of these in common, or the end of one lies inside the other. Slots are counted
    from port 0, so that all ranges agree on them.
    """
    slots = range(-(-first // SLOT) * SLOT, last + 1, SLOT)
    return sorted({first, last, *slots})


def ports_wanted(cpus: int) -> int:
    """Ports a node needs: the services, and for each CPU room for many small workers."""
    workers = max(100, 16 * cpus)
    slots = -(-(len(SERVICES) + workers) // SLOT)
    return slots * SLOT


def fewest_ports(first: int, last: int, cpus: int) -> int:
    """How many ports a range that begins and ends there must have for the Ray of a node with so many CPUs."""
    size = min(ports_wanted(cpus), last - first + 1)
    return len(SERVICES) + 2 * cpus + 8 + len(guards(first, first + size - 1))
