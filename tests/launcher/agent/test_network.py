"""Which of a node's addresses Ray gets, with a list of interfaces in place of a node's."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence

import pytest

from curator_slurm.launcher.agent import ports
from curator_slurm.launcher.agent.interfaces import (
    Interface,
    at_port,
    default_routes,
    default_routes_v6,
    host_of,
    with_suffix,
)
from curator_slurm.launcher.agent.network import NodeNetwork, node_address
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.plan.node_facts import Addressing

LO = "lo 127.0.0.1 ::1"
ETH = "eth0 10.0.0.7 fe80::7"
IB = "ib0 10.1.0.7 fd00::7"


def interface(text: str) -> Interface:
    """`ib0 10.1.0.7 fd00::7`, or `ib1 down`."""
    name, *words = text.split()
    is_up = "down" not in words
    return Interface(name, tuple(ipaddress.ip_address(word) for word in words if word != "down"), is_up)


class Machine(NodeNetwork):
    """A node with these interfaces, default routes and names."""

    def __init__(
        self, *have: str, routes: Sequence[str] = (), names: Mapping[str, str] | None = None, towards: str | None = None
    ) -> None:
        self.have, self.routes, self.names, self.towards = have, routes, names or {}, towards

    def interfaces(self) -> list[Interface]:
        return [interface(text) for text in self.have]

    def default_routes(self) -> list[str]:
        return list(self.routes)

    def look_up(self, name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        return [ipaddress.ip_address(text) for text in self.names.get(name, "").split()]

    def own_address_towards(self, environ: Mapping[str, str]) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        return ipaddress.ip_address(self.towards) if self.towards else None


def chosen(machine: Machine, *interfaces: str, head: str | None = None, local: bool = False, **wanted: object) -> str:
    return node_address("n7", Addressing(interfaces, **wanted), head=head, local=local, network=machine)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "address"),
    [
        (["ib0"], "10.1.0.7"),
        (["ib9", "eth0"], "10.0.0.7"),
        (["ib*", "eth0"], "10.1.0.7"),
        (["eth0", "ib*"], "10.0.0.7"),
        (["10.1.0.0/16"], "10.1.0.7"),
        (["10.2.0.0/16", "fd00::/8"], "fd00::7"),
        (["10.0.0.7"], "10.0.0.7"),
        (["192.168.0.0/16", "ib[0-9]"], "10.1.0.7"),
    ],
)
def test_interfaces_are_taken_in_the_order_of_preference(wanted: list[str], address: str) -> None:
    assert chosen(Machine(LO, ETH, IB, routes=["eth0"]), *wanted) == address


def test_numbers_in_names_count_as_numbers_and_what_is_down_does_not() -> None:
    machine = Machine("ib10 10.1.0.10", "ib2 10.1.0.2", "ib1 10.1.0.1 down", "ib0")
    assert chosen(machine, "ib*") == "10.1.0.2"


@pytest.mark.parametrize(
    ("have", "routes", "towards", "address"),
    [
        ([LO, ETH, IB], ["ib0"], None, "10.1.0.7"),
        ([LO, "eth0 fd00::a", "eth1 10.0.0.7"], ["eth0"], None, "10.0.0.7"),
        ([LO, "eth0 fe80::1 fd00::a"], ["eth0"], None, "fd00::a"),
        ([LO, "docker0 172.17.0.1", ETH], [], None, "10.0.0.7"),
        ([LO, "docker0 172.17.0.1", "eth0 fd00::a"], [], None, "fd00::a"),
        ([LO, "eth0 10.0.0.7", "ib0 10.1.0.7"], [], "10.1.0.7", "10.1.0.7"),
        ([LO, "eth0 10.0.0.7", "ib0 10.1.0.7"], [], "127.0.1.1", "10.0.0.7"),
        ([LO, "bmc0 169.254.3.1", "eth0 10.0.0.7"], [], None, "10.0.0.7"),
    ],
)
def test_where_nothing_is_preferred(have: list[str], routes: list[str], towards: str | None, address: str) -> None:
    """Default routes, else where the job was started from, else anything that others may reach; IPv4 first."""
    assert chosen(Machine(*have, routes=routes, towards=towards)) == address


def test_the_family_of_the_site_or_of_the_head() -> None:
    machine = Machine(LO, ETH, IB, routes=["eth0"])
    assert chosen(machine, "ib0", family=6) == "fd00::7"
    assert chosen(machine, family=6) == "fd00::7"
    assert chosen(machine, "ib0", head="fd00::1") == "fd00::7"
    assert chosen(machine, "ib0", head="10.1.0.1", family=None) == "10.1.0.7"
    with pytest.raises(BootstrapError, match=r"no IPv4 address for Ray on n7 \(the head's is 10.1.0.1\)"):
        chosen(Machine(LO, "ib0 fd00::7"), "ib0", head="10.1.0.1")


@pytest.mark.parametrize(
    ("names", "address"),
    [
        ({"n7i": "10.1.0.7"}, "10.1.0.7"),
        ({"n7i": "127.0.1.1 10.1.0.7"}, "10.1.0.7"),
        ({"n7i": "fd00::7 10.1.0.7"}, "10.1.0.7"),
        ({"n7i": "10.9.9.9 fd00::7"}, "fd00::7"),
    ],
)
def test_the_name_of_the_fast_network(names: dict[str, str], address: str) -> None:
    """Only an address that the node has counts: a hosts file may say anything of its own node."""
    machine = Machine(LO, ETH, IB, names={"n7": "127.0.1.1", **names})
    assert chosen(machine, host_suffix="i") == address
    assert chosen(machine, "eth*", host_suffix="i") == "10.0.0.7"
    assert chosen(machine, "hsn*", host_suffix="i") == address


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, "n7i (network.host_suffix) is not known here"),
        ({"n7i": "127.0.1.1"}, "n7i (network.host_suffix) is 127.0.1.1, which none of them has"),
    ],
)
def test_a_name_that_leads_nowhere_fails_with_what_the_node_has(names: dict[str, str], words: str) -> None:
    with pytest.raises(BootstrapError) as caught:
        chosen(Machine(LO, ETH, names=names), "hsn*", host_suffix="i")
    message = str(caught.value)
    assert f"no address for Ray on n7: network.interface is hsn*; {words}" in message
    assert "its interfaces: lo (127.0.0.1, ::1), eth0 (10.0.0.7, fe80::7, link-local)" in message


def test_a_node_where_nothing_matches_says_what_it_has() -> None:
    with pytest.raises(BootstrapError) as caught:
        chosen(Machine(LO, ETH, "ib0 down", "ib1"), "hsn*", "fe80::/10")
    assert str(caught.value) == (
        "no address for Ray on n7: network.interface is hsn*, fe80::/10; its interfaces: lo (127.0.0.1, ::1), "
        "eth0 (10.0.0.7, fe80::7, link-local), ib0 (down), ib1 (no address)"
    )
    assert "network.interface" in caught.value.next_step
    with pytest.raises(BootstrapError, match="none of its interfaces has one that other nodes could reach"):
        chosen(Machine(LO, "eth0 fe80::7"))


def test_a_run_on_this_machine_takes_what_there_is() -> None:
    assert chosen(Machine(LO, ETH), "hsn0", local=True) == "10.0.0.7"
    assert chosen(Machine(LO), "hsn0", local=True) == "127.0.0.1"
    assert chosen(Machine(LO, IB, ETH), "ib0", local=True) == "10.1.0.7"


def test_default_routes_by_metric_without_those_that_lead_nowhere() -> None:
    v4 = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\n"
        "ib0\t00000000\t0101000A\t0003\t0\t0\t100\t00000000\t0\n"
        "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n"
    )
    zeros = "0" * 32
    v6 = (
        f"{zeros} 00 {zeros} 00 {'fe80' + '0' * 27 + '1'} 00000400 00000001 00000000 00450003     ib0\n"
        f"{'fd00' + '0' * 28} 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001    eth0\n"
        f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200      lo\n"
    )
    assert default_routes(v4) == ["ib0", "eth0"]
    assert default_routes_v6(v6) == ["ib0"]


@pytest.mark.parametrize(("address", "text"), [("10.0.0.1", "10.0.0.1:6379"), ("fd00::1", "[fd00::1]:6379")])
def test_addresses_with_ports(address: str, text: str) -> None:
    assert at_port(address, 6379) == text
    assert host_of(text) == address


def test_a_suffix_goes_behind_the_host() -> None:
    assert with_suffix("jwb0001", "i") == "jwb0001i"
    assert with_suffix("jwb0001.juwels.example", "i") == "jwb0001i.juwels.example"


def test_this_machine_has_a_loopback() -> None:
    found = {each.name: each for each in NodeNetwork().interfaces()}
    assert ipaddress.ip_address("127.0.0.1") in found["lo"].addresses
    assert NodeNetwork().own_address_towards({"SLURM_LAUNCH_NODE_IPADDR": "127.0.1.1"}) is None
    assert NodeNetwork().own_address_towards({}) is None


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this kernel has no IPv6")
def test_a_port_that_something_uses_on_ipv6_alone_is_not_free() -> None:
    block = ports.reserve_ports((21000, 24999), 1)
    first = block.first
    block.release()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as other:
        other.bind(("::1", first + 1))
        other.listen()
        assert ports._lock(first, block.last) is None
    again = ports._lock(first, block.last)
    assert again is not None
    ports._close(again)
