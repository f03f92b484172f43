"""Which address of a node Ray shall use: what there is, and what is preferred. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_BRIDGES = ("docker", "br-", "virbr", "veth", "cni", "podman")
"""Names of interfaces of containers and virtual machines on the node, which no other node reaches."""


@dataclass(frozen=True)
class Interface:
    """A network interface of the node."""

    name: str
    addresses: tuple[Address, ...] = ()
    is_up: bool = True

    def __str__(self) -> str:
        if not self.is_up:
            return f"{self.name} (down)"
        words = [f"{each}, link-local" if each.is_link_local else str(each) for each in self.addresses]
        return f"{self.name} ({', '.join(words) or 'no address'})"


def matches(interface: Interface, address: Address, pattern: str) -> bool:
    """Whether an address is what a pattern means: the name of an interface, with `*` and the like, or a network."""
    network = network_of(pattern)
    if network is None:
        return fnmatchcase(interface.name, pattern)
    return address in network


def network_of(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that a pattern is (10.1.0.0/16, fd00::/8, or one address); None where it is a name."""
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def preferred(
    interfaces: Sequence[Interface], patterns: Sequence[str], family: int | None
) -> Iterator[tuple[str, Address]]:
    """(name, address) of what the patterns match, the first of them first; IPv4 before IPv6 where both will do.

    Ray cannot use link-local addresses: they mean something on one link only, which it has no way to name.
    """
    for pattern in patterns:
        found = [
            (interface.name, address)
            for interface in _in_order(interfaces)
            for address in interface.addresses
            if interface.is_up and not _is_link_local_v6(address) and matches(interface, address, pattern)
        ]
        yield from _of_family(found, family)


def usual(
    interfaces: Sequence[Interface], routed: Sequence[str], towards: Address | None, family: int | None
) -> Iterator[tuple[str, Address]]:
    """The same where nothing is preferred: those of a default route first (`routed` has their interfaces, best first).

    Then, of a node without one, the address `towards` where its job was started from, then any that others may reach.
    """
    found = [
        (interface.name, address)
        for interface in _in_order(interfaces)
        for address in interface.addresses
        if interface.is_up and not address.is_loopback and not address.is_link_local
    ]
    by_route = [each for name in routed for each in found if each[0] == name]
    by_job = [each for each in found if each[1] == towards]
    rest = [each for each in found if not each[0].startswith(_BRIDGES)]
    for version in (4, 6):
        if family in (None, version):
            yield from (each for each in (*by_route, *by_job, *rest) if each[1].version == version)


def _of_family(found: Sequence[tuple[str, Address]], family: int | None) -> list[tuple[str, Address]]:
    return sorted((each for each in found if family in (None, each[1].version)), key=lambda each: each[1].version)


def _is_link_local_v6(address: Address) -> bool:
    return address.version == 6 and address.is_link_local


def _in_order(interfaces: Sequence[Interface]) -> list[Interface]:
    """By name, with numbers as such: ib2 before ib10."""
    return sorted(interfaces, key=lambda each: _parts(each.name))


def _parts(name: str) -> list[str]:
    parts = re.split("([0-9]+)", name)
    return [part.zfill(9) if index % 2 else part for index, part in enumerate(parts)]


def default_routes(table: str) -> list[str]:
    """Interfaces with a default route in the text of /proc/net/route, best metric first."""
    routes = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            routes.append((int(fields[6]), fields[0]))
    return [name for _, name in sorted(routes)]


_REJECTS = 0x200
"""RTF_REJECT: a route that leads nowhere, which every node has."""


def default_routes_v6(table: str) -> list[str]:
    """The same in the text of /proc/net/ipv6_route."""
    routes = []
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 9 and set(fields[0]) == {"0"} and fields[1] == "00" and not int(fields[8], 16) & _REJECTS:
            routes.append((int(fields[5], 16), fields[9]))
    return [name for _, name in sorted(routes)]


def with_suffix(host: str, suffix: str) -> str:
    """A host name for the fast network: node7 -> node7i, node7.cluster -> node7i.cluster."""
    name, dot, domain = host.partition(".")
    return f"{name}{suffix}{dot}{domain}"


def version_of(address: str) -> int | None:
    """4 or 6; None where it is no address."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return None


def at_port(address: str, port: int | str) -> str:
    """As Ray wants it: 10.0.0.1:6379, [fd00::1]:6379."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def host_of(address: str) -> str:
    """The host in what `at_port` makes."""
    return address.rpartition(":")[0].strip("[]")
