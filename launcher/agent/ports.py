"""Ports for one node's Ray: a block that no other run on the node holds, and that nobody listens on.

The lock is a socket bound to a name in Linux's abstract namespace. It has the scope of the ports themselves (the
network namespace), works between users, is released by the kernel when the agent dies however it dies, and leaves
no file behind: all of which a lock file in /tmp lacks.
"""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass, field

from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass

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
_SLOT = 50
"""Ports are handed out in slots of this many, so that blocks of different sizes do not overlap unseen."""


@dataclass(frozen=True)
class PortBlock:
    """Ports of one node. `workers` is the first and last port for Ray's worker processes."""

    first: int
    last: int
    _locks: list[socket.socket] = field(repr=False, compare=False)

    def __getitem__(self, service: str) -> int:
        return self.first + SERVICES.index(service)

    @property
    def workers(self) -> tuple[int, int]:
        return self.first + len(SERVICES), self.last

    def release(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks.clear()


def ports_wanted(cpus: int) -> int:
    """Ports a node needs: the services, and for each CPU room for many small workers."""
    workers = max(100, 16 * cpus)
    slots = -(-(len(SERVICES) + workers) // _SLOT)
    return slots * _SLOT


def reserve_ports(port_range: tuple[int, int], cpus: int, seed: int | None = None) -> PortBlock:
    """Find and lock a block of ports inside `port_range` (both ends included).

    The search starts at a random slot, so that runs that start together do not fight for the first one.

    Raises:
        BootstrapError: every possible block is held by another run, or has a port that something listens on.
    """
    first, last = port_range
    size = ports_wanted(cpus)
    smallest = len(SERVICES) + 2 * cpus + 8
    available = last - first + 1
    if available < smallest:
        raise _exhausted(port_range, f"it has {available} ports, and Ray needs {smallest} on a node of {cpus} CPUs")
    size = min(size, available)
    starts = list(range(first, last - size + 2, _SLOT))
    offset = random.Random(seed).randrange(len(starts))
    held = busy = 0
    for start in starts[offset:] + starts[:offset]:
        end = start + size - 1
        locks = _lock_slots(start, end)
        if locks is None:
            held += 1
            continue
        taken = next((port for port in range(start, end + 1) if not _is_free(port)), None)
        if taken is None:
            return PortBlock(start, end, locks)
        busy += 1
        for lock in locks:
            lock.close()
    raise _exhausted(
        port_range,
        f"of {len(starts)} blocks of {size} ports, {held} are held by other runs on this node and "
        f"{busy} have a port in use",
    )


def _exhausted(port_range: tuple[int, int], why: str) -> BootstrapError:
    return BootstrapError(
        FailureClass.PORT_CONFLICT,
        f"no free ports in network.port_range {port_range[0]}-{port_range[1]}: {why}",
        "widen network.port_range, or run again once other runs on the node have ended",
    )


def _lock_slots(first: int, last: int) -> list[socket.socket] | None:
    """Hold every slot that the ports touch; slots are counted from port 0, so that all ranges agree on them."""
    locks: list[socket.socket] = []
    for slot in range(first // _SLOT, last // _SLOT + 1):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0curator-slurm/ports/{slot * _SLOT}")
        except OSError as error:
            lock.close()
            for held in locks:
                held.close()
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        locks.append(lock)
    return locks


def _is_free(port: int) -> bool:
    """Whether a listener could bind `port` on all addresses right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
