"""Network, storage, containers and software of a first site file: what the probed nodes have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from curator_slurm.launcher.site.model import WITHOUT_EFFECT, Site
from curator_slurm.launcher.spec.keys import section_at, settings
from curator_slurm.launcher.spec.network_section import NetworkSpec
from curator_slurm.launcher.survey.commented_yaml import DECIDE, Block, Item, Key, Words, decide
from curator_slurm.launcher.survey.probe_report import NodeDisk, ProbeReport

_FILES = 65_536
"""Open files that a large Ray cluster needs."""
_CREDENTIALS = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://)?.*@")
"""What stands before the host in an address of a proxy."""
_GIB = 1 << 20
"""In kilobytes."""


def node_blocks(reports: Mapping[str, ProbeReport]) -> list[Item]:
    """The sections about what nodes have, by the reports of the partitions that have answered."""
    found = list(reports.values())
    return [
        Block("network", list(_network(reports))),
        Block("storage", list(_storage(found))),
        Block("container", list(_container(found))),
        Block("environment", list(_environment(found))),
    ]


def acts(key: str) -> bool:
    """Whether a site file can have this key, and something acts on it in this version."""
    parent, _, last = key.rpartition(".")
    section = section_at(tuple(parent.split(".")), Site)
    without = any(key == each or key.startswith(f"{each}.") for each in WITHOUT_EFFECT)
    return section is not None and last in settings(section) and not without


def internet_of(report: ProbeReport) -> str | None:
    """The value of `internet` for a node; None where it could not be tried."""
    if report.internet == "direct":
        return "nat" if report.has_private_addresses else "yes"
    return {"proxy": "proxy", "none": "no"}.get(report.internet)


def _network(reports: Mapping[str, ProbeReport]) -> Iterator[Item]:
    yield from _internet(reports)
    found = list(reports.values())
    if not found:
        yield decide("internet: yes, no, proxy or nat: how compute nodes reach it; site init --probe tries it")
        return
    yield from _interfaces(found)
    loopback = dict.fromkeys(each.host for each in found if _is_loopback(each.own_addresses))
    if loopback:
        yield Words(f"the own name of {', '.join(loopback)} is an address of the loopback there (/etc/hosts)")
    without_route = dict.fromkeys(each.host for each in found if not each.default_routes)
    if without_route:
        yield Words(f"no default route: {', '.join(without_route)}")
    ranges = dict.fromkeys(each.local_ports for each in found if each.local_ports)
    default: tuple[int, int] = NetworkSpec().port_range
    for low, high in ranges:
        beside = "Ray's ports lie outside" if default[1] < low or default[0] > high else "the agents choose others"
        yield Words(f"net.ipv4.ip_local_port_range is {low} to {high}: {beside} (port_range)")


def _internet(reports: Mapping[str, ProbeReport]) -> Iterator[Item]:
    ways = {name: way for name, report in reports.items() if (way := internet_of(report)) is not None}
    if ways:
        common = max(dict.fromkeys(ways.values()), key=list(ways.values()).count)
        others = [f"{name}: {way}" for name, way in ways.items() if way != common]
        words = f"other partitions have another: {', '.join(others)}" if others else ""
        yield Key("internet", common, f"HTTPS from {', '.join(n for n, way in ways.items() if way == common)}")
        if words:
            yield decide(f"{words} (partitions.NAME.internet)")
    proxies = {name: value for report in reports.values() for name, value in report.proxies.items()}
    proxy = {
        key: value
        for key, names in (("http", ("http_proxy", "HTTP_PROXY")), ("https", ("https_proxy", "HTTPS_PROXY")))
        if (value := next((proxies[name] for name in names if name in proxies), None))
    }
    if proxy:
        plain = {key: _CREDENTIALS.sub(r"\1", value) for key, value in proxy.items()}
        yield Block("proxy", [Key(key, value, f"{key}_proxy at a login there") for key, value in plain.items()])
        if plain != proxy:
            yield decide("the proxy asks for a password, which is left out here: everybody can read this file")
    elif "proxy" in ways.values():
        yield decide("proxy: {http: http://proxy.example.org:3128}")


def _interfaces(found: Sequence[ProbeReport]) -> Iterator[Item]:
    """What there is, and the fastest that all have, where there is a choice."""
    lines = dict.fromkeys(
        f"{each.name} {each.address}{f' {_speed(each.speed_mbit)}' if each.speed_mbit else ''}"
        f"{' InfiniBand' if each.is_infiniband else ''}"
        for report in found
        for each in report.usable_interfaces.values()
    )
    for line in lines:
        yield Words(f"interface {line}")
    common = [name for name in found[0].usable_interfaces if all(name in each.usable_interfaces for each in found)]
    several = any(len(each.usable_interfaces) > 1 for each in found)
    if several and common:
        words = f"{DECIDE} the fastest that all probed nodes have; by it, nodes must reach each other"
        yield Key("interface", [common[0]], words)
    elif several:
        yield decide("interface: the probed nodes have none in common; patterns such as ib* are possible, and networks")


def _speed(megabits: int) -> str:
    return f"{megabits / 1000:g} Gbit/s" if megabits >= 1000 else f"{megabits} Mbit/s"


def _is_loopback(addresses: Iterable[str]) -> bool:
    found = list(addresses)
    return bool(found) and all(each.startswith("127.") or each == "::1" for each in found)


def _storage(found: Sequence[ProbeReport]) -> Iterator[Item]:
    places = dict.fromkeys(f"{place} ({kind})" for report in found for place, kind in report.shared)
    seen = f" Shared on the nodes: {', '.join(places)}." if places else ""
    yield decide(f"where run directories go: every node must see it, and it should be fast.{seen}")
    yield Key("runs", "/scratch/${USER}/curator-slurm", off=True)
    yield decide("after how many days the site deletes unused files there, if it does")
    yield Key("purge_days", 30, off=True)
    if not found:
        return
    for line in dict.fromkeys(_disk_line(disk) for report in found for disk in report.disks):
        yield Words(line)
    yield from _node_local(found)


def _disk_line(disk: NodeDisk) -> str:
    kind = "memory, which counts in the job's" if disk.is_memory else disk.kind or "of an unknown kind"
    size = disk.kilobytes / _GIB
    return f"{disk.path}: {kind}, {size:.0f} GiB{'' if disk.writable else ', not writable'}"


def _node_local(found: Sequence[ProbeReport]) -> Iterator[Item]:
    """A folder that all nodes have on a disk; where /tmp is memory, that it is."""
    temporary = [report.disk("/tmp") for report in found]
    if all(disk is not None and disk.is_local and disk.writable for disk in temporary):
        yield Words("/tmp is on a disk of each node: the default for Ray's session is right")
        return
    common = [
        disk
        for disk in found[0].disks
        if all((other := report.disk(disk.path)) and other.is_local and other.writable for report in found)
    ]
    if common:
        best = max(common, key=lambda disk: disk.free_kilobytes)
        size = min(disk.kilobytes for report in found if (disk := report.disk(best.path))) // _GIB
        yield _fact({"path": best.path, "size": f"{size}G"}, "a disk on all probed nodes; how much may a job use?")
    elif any(disk is not None and disk.is_memory for disk in temporary):
        yield _fact({"path": "/tmp", "is_memory": True}, "/tmp is memory: is there a disk elsewhere?")
    else:
        yield decide("node_local: no disk was found that all probed nodes have")


def _fact(value: dict[str, object], words: str) -> Key:
    """What to say of node-local storage."""
    return Key("node_local", value, f"{DECIDE} {words}")


def _container(found: Sequence[ProbeReport]) -> Iterator[Item]:
    runtimes = list(dict.fromkeys(name for report in found for name in report.runtimes))
    if runtimes:
        off = not acts("container.runtimes")
        yield Key("runtimes", runtimes, "on the probed nodes" + (", no effect in this version" if off else ""), off=off)


def _environment(found: Sequence[ProbeReport]) -> Iterator[Item]:
    modules = {report.modules or "yes" for report in found if report.modules is not None}
    pythons = dict.fromkeys(f"{path} {version}" for report in found for path, version in report.pythons)
    if modules:
        yield Words(f"there is a module command: {', '.join(sorted(modules))}")
    if pythons:
        yield Words(f"Python at a login on the nodes: {', '.join(pythons)}")
    if found:
        yield decide("the software of runs that name none: a shared venv, or modules that have Python 3.11 or newer")
    else:
        yield decide("the software of runs that name none: a shared venv, or modules")
    yield Key("venv", "/apps/curator-slurm/venv", off=True)
    few = [report for report in found if 0 < (report.open_files[1] or 0) < _FILES]
    if few:
        most = min(report.open_files[1] or 0 for report in few)
        yield decide(f"open files (ulimit -Hn) are {most:,} on {few[0].host}: large Ray clusters need {_FILES:,}")
    libcs = dict.fromkeys(report.libc for report in found if report.libc)
    if libcs:
        yield Words(f"{', '.join(libcs)}: wheels of Python must be made for it, or for an older one")
