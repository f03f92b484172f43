"""This node's address for Ray: by the interfaces that are preferred, by a name, or by its routes."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from curator_slurm.launcher.agent import interfaces as known
from curator_slurm.launcher.agent.interfaces import Address, Interface
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.node_facts import Addressing

_STARTED_FROM = ("SLURM_LAUNCH_NODE_IPADDR", "SLURM_SRUN_COMM_HOST")
"""Where Slurm says the address of the node on which srun runs: the job's first."""


class NodeNetwork:
    """What this node has; tests replace it."""

    def interfaces(self) -> list[Interface]:
        stats = psutil.net_if_stats()
        return [
            Interface(name, tuple(_usable(entries)), name in stats and stats[name].isup)
            for name, entries in psutil.net_if_addrs().items()
        ]

    def default_routes(self) -> list[str]:
        """Interfaces with one, of IPv4 first."""
        return [
            *known.default_routes(_text("/proc/net/route")),
            *known.default_routes_v6(_text("/proc/net/ipv6_route")),
        ]

    def look_up(self, name: str) -> list[Address]:
        """The addresses of a name; none where it has none."""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))

    def own_address_towards(self, environ: Mapping[str, str]) -> Address | None:
        """Our address on the way to where the job was started from; nothing is sent."""
        peer = next((environ[name] for name in _STARTED_FROM if known.version_of(environ.get(name, ""))), "")
        if not peer or ipaddress.ip_address(peer).is_loopback:
            return None
        family = socket.AF_INET6 if ":" in peer else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect((peer, 9))
                return ipaddress.ip_address(str(way.getsockname()[0]).partition("%")[0])
        except OSError:
            return None


def node_address(
    node: str,
    wanted: Addressing,
    *,
    local: bool = False,
    head: str | None = None,
    network: NodeNetwork | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The address of a node for Ray: of the first interface that is preferred and there, else that of its name with the
    site's suffix, else, where neither is wanted, that of its routes; of the family that `head`, an address, has.

    On this machine alone (`local`) nobody else need reach it, so what is preferred may be missing: without a network it
    is the loopback's. Ray itself replaces 127.0.0.1 by the address of the default route where there is one.

    Raises:
        BootstrapError: there is none; the message lists what the node has.
    """
    network = network or NodeNetwork()
    interfaces = network.interfaces()
    family = known.version_of(head) if head else wanted.family
    chosen = next(known.preferred(interfaces, wanted.interfaces, family), None)
    if chosen is not None:
        return str(chosen[1])
    why = [f"network.interface is {', '.join(wanted.interfaces)}"] if wanted.interfaces else []
    if wanted.host_suffix:
        name = known.with_suffix(node, wanted.host_suffix)
        found = network.look_up(name)
        if (address := _own(found, interfaces, family)) is not None:
            return str(address)
        words = f"is {', '.join(map(str, found))}, which none of them has" if found else "is not known here"
        why.append(f"{name} (network.host_suffix) {words}")
    if local or not why:
        towards = network.own_address_towards(environ)
        chosen = next(known.usual(interfaces, network.default_routes(), towards, family), None)
        if chosen is not None:
            return str(chosen[1])
        if local:
            return "127.0.0.1"
        why.append("none of its interfaces has one that other nodes could reach")
    kind = f"IPv{family} address" if family else "address"
    because = f" (the head's is {head})" if head else ""
    have = ", ".join(map(str, interfaces)) or "none"
    raise BootstrapError(
        FailureClass.ENVIRONMENT,
        f"no {kind} for Ray on {node}{because}: {'; '.join(why)}; its interfaces: {have}",
        "set network.interface to what every node has, such as ib0, hsn* or 10.1.0.0/16"
        + ("; network.family in a site file chooses IPv4 or IPv6 for all nodes" if family else ""),
    )


def _own(found: Sequence[Address], interfaces: Sequence[Interface], family: int | None) -> Address | None:
    """The first address of a name that an interface of this node has; hosts files may say 127.0.1.1."""
    own = {address for interface in interfaces if interface.is_up for address in interface.addresses}
    by_family = sorted(found, key=lambda address: address.version)
    usable = (each for each in by_family if each in own and family in (None, each.version))
    return next((each for each in usable if not each.is_loopback and not each.is_link_local), None)


def _usable(entries: Sequence[Any]) -> list[Address]:
    """The IP addresses among those of an interface."""
    kinds = (socket.AF_INET, socket.AF_INET6)
    texts = [str(entry.address).partition("%")[0] for entry in entries if entry.family in kinds]
    return [ipaddress.ip_address(text) for text in texts]


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
