"""Which of the node's addresses Ray shall use."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import psutil

from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass


def ipv4_addresses() -> dict[str, str]:
    """Interface -> its first IPv4 address, for interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = {}
    for name, addresses in psutil.net_if_addrs().items():
        if name in up:
            own = [entry.address for entry in addresses if entry.family == socket.AF_INET]
            if own:
                found[name] = own[0]
    return found


def default_route_interfaces(table: str) -> list[str]:
    """Interfaces with a default route in the text of /proc/net/route, best metric first."""
    routes = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            routes.append((int(fields[6]), fields[0]))
    return [name for _, name in sorted(routes)]


def choose_address(addresses: dict[str, str], preferred: Sequence[str], routed: Sequence[str]) -> str | None:
    """The address to use: of the first preferred interface that is there (patterns allowed: `ib*`), else of a
    default route's, else any that is neither loopback nor a container bridge. None where there is none."""
    for pattern in preferred:
        for name in sorted(addresses):
            if fnmatch(name, pattern):
                return addresses[name]
    if preferred:
        return None
    for name in routed:
        if name in addresses:
            return addresses[name]
    usable = [
        address
        for name, address in sorted(addresses.items())
        if not ipaddress.ip_address(address).is_loopback and not name.startswith(("docker", "br-", "virbr"))
    ]
    return usable[0] if usable else None


def node_address(preferred: Sequence[str], *, local: bool = False) -> str:
    """This node's address for Ray; a local cluster without a network uses the loopback's.

    Ray itself replaces 127.0.0.1 by the address of the default route where there is one.

    Raises:
        BootstrapError: no such interface, or no address but the loopback's.
    """
    addresses = ipv4_addresses()
    try:
        table = Path("/proc/net/route").read_text()
    except OSError:
        table = ""
    address = choose_address(addresses, preferred, default_route_interfaces(table))
    if address is None and local and not preferred:
        return "127.0.0.1"
    if address is None:
        have = ", ".join(f"{name} ({address})" for name, address in sorted(addresses.items())) or "none"
        wanted = f"network.interface is {', '.join(preferred)}" if preferred else "no interface but the loopback is up"
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"no address for Ray: {wanted}; interfaces with an IPv4 address here: {have}",
            "set network.interface to one that every node has",
        )
    return address
