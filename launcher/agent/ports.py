"""Ports for one node's Ray: a block that no other run on the node holds, and that nobody uses.

The lock is made of ports too: the agent binds a few of its block, its guards, and never listens on them. That has
exactly the scope of what it protects (the network namespace), works between users, is released by the kernel when
the agent dies however it dies, and leaves no file behind. Nobody can hold it without using up ports themselves.
"""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass, field

from curator_slurm.common.in_words import several
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.port_blocks import SERVICES, SLOT, fewest_ports, guards, ports_wanted

_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENOPROTOOPT)


@dataclass(frozen=True)
class PortBlock:
    """Ports of one node. `workers` is the first and last port for Ray's worker processes."""

    first: int
    last: int
    _locks: list[socket.socket] = field(default_factory=list, repr=False, compare=False)

    def __getitem__(self, service: str) -> int:
        return self._usable[SERVICES.index(service)]

    @property
    def workers(self) -> tuple[int, int]:
        """Guards lie between them: Ray gives a worker only ports that can be bound."""
        return self._usable[len(SERVICES)], self._usable[-1]

    @property
    def _usable(self) -> list[int]:
        kept = set(guards(self.first, self.last))
        return [port for port in range(self.first, self.last + 1) if port not in kept]

    def release(self) -> None:
        _close(self._locks)


def reserve_ports(port_range: tuple[int, int], cpus: int, seed: int | None = None) -> PortBlock:
    """Find and lock a block of ports inside `port_range` (both ends included).

    The search starts at a random slot, so that runs that start together do not fight for the first one.

    Raises:
        BootstrapError: every possible block is held by another run, or has a port that something uses.
    """
    first, last = port_range
    available = last - first + 1
    size = min(ports_wanted(cpus), available)
    smallest = fewest_ports(first, last, cpus)
    if available < smallest:
        raise _exhausted(
            port_range,
            f"it has {several(available, 'port')}, and Ray needs {smallest} on a node of {several(cpus, 'CPU')}",
        )
    starts = list(range(first, last - size + 2, SLOT))
    offset = random.Random(seed).randrange(len(starts))
    for start in starts[offset:] + starts[:offset]:
        locks = _lock(start, start + size - 1)
        if locks is not None:
            return PortBlock(start, start + size - 1, locks)
    raise _exhausted(
        port_range,
        f"each of the {several(len(starts), 'block')} of {several(size, 'port')} has a "
        f"port that another run or program uses",
    )


def _exhausted(port_range: tuple[int, int], why: str) -> BootstrapError:
    return BootstrapError(
        FailureClass.PORT_CONFLICT,
        f"no free ports in network.port_range {port_range[0]}-{port_range[1]}: {why}",
        "widen network.port_range, or run again once other runs on the node have ended",
    )


def _lock(first: int, last: int) -> list[socket.socket] | None:
    """Hold the guards of a block whose other ports are free; None if they are not, or if it is held."""
    held: list[socket.socket] = []
    kept = guards(first, last)
    for port in kept:
        guard = _bind(port)
        if guard is None:
            break
        held.append(guard)
    if len(held) == len(kept) and all(map(_is_free, set(range(first, last + 1)) - set(kept))):
        return held
    _close(held)
    return None


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
    sockets.clear()


def _is_free(port: int) -> bool:
    """Whether a listener could bind `port` on all addresses right now."""
    probe = _bind(port)
    if probe is not None:
        probe.close()
    return probe is not None


def _bind(port: int) -> socket.socket | None:
    """A socket bound to `port` on all addresses; without SO_REUSEADDR nobody else can bind it then.

    On all of IPv6, too, where the kernel has that: Ray's services listen on both, by one socket.
    """
    for family in (socket.AF_INET6, socket.AF_INET):
        try:
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            bound.bind(("", port))
        except OSError as error:
            bound.close()
            if error.errno in _NO_IPV6 and family == socket.AF_INET6:
                continue
            return None
        return bound
    return None
