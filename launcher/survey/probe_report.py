"""What slurm_templates/probe.sh prints on a node, as values. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from curator_slurm.launcher.ranges import parse_numbers, whole_number

END = "end\t1"
"""The last line of a whole report."""
_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"})
_JOB_ID = 4
"""Digits of a job's id by which it is known in the name of a folder."""
_INFINIBAND = 32
"""/sys/class/net/*/type of IP over InfiniBand."""


@dataclass(frozen=True)
class NetInterface:
    """A network interface that is up, with one of its addresses."""

    name: str
    address: str
    speed_mbit: int | None
    is_infiniband: bool

    @property
    def is_usable(self) -> bool:
        """Whether nodes could reach each other by it: not of the machine itself, or of containers on it."""
        bridges = ("docker", "br-", "virbr", "veth", "cni", "podman", "lxc")
        try:
            address = ipaddress.ip_address(self.address.partition("/")[0])
        except ValueError:
            return False
        return not address.is_loopback and not address.is_link_local and not self.name.startswith(bridges)


@dataclass(frozen=True)
class NodeDisk:
    """A folder of the node that jobs could use."""

    path: str
    kind: str
    kilobytes: int
    free_kilobytes: int
    writable: bool
    mounted_at: str

    @property
    def is_memory(self) -> bool:
        """Whether what is put there takes memory, which counts in the job's."""
        return self.kind in _MEMORY

    @property
    def is_local(self) -> bool:
        """Whether it is a disk of the node."""
        return self.kind in _LOCAL


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """One node, as a job of the user sees it; what could not be found out is None or empty."""

    host: str
    partition: str
    clock: int | None
    slurm_cpus: int | None
    """CPUs that the job was given."""
    visible_cpus: int | None
    allowed_cpus: int | None
    """CPUs that the job may run on: affinity, and the quota of its control group."""
    memory_mb: int | None
    gpus: Sequence[tuple[str, int]]
    """Name and MB of each GPU that the job sees."""
    interfaces: Sequence[NetInterface]
    default_routes: Sequence[str]
    own_addresses: Sequence[str]
    local_ports: tuple[int, int] | None
    disks: Sequence[NodeDisk]
    shared: Sequence[tuple[str, str]]
    """Mount points of file systems of the network, with their types."""
    runtimes: Sequence[str]
    modules: str | None
    """The module command at a login: its name and version where they are known; None where there is none."""
    pythons: Sequence[tuple[str, str]]
    libc: str
    proxies: Mapping[str, str]
    open_files: tuple[int | None, int | None]
    internet: str
    """direct, proxy, none or unknown."""

    def disk(self, path: str) -> NodeDisk | None:
        return next((disk for disk in self.disks if disk.path == path), None)

    @property
    def usable_interfaces(self) -> dict[str, NetInterface]:
        """By name, with an IPv4 address where it has one; the fastest first."""
        found: dict[str, NetInterface] = {}
        for each in sorted(self.interfaces, key=lambda each: ":" in each.address):
            if each.is_usable:
                found.setdefault(each.name, each)
        ranked = sorted(found.values(), key=lambda each: (each.speed_mbit or 0, each.is_infiniband), reverse=True)
        return {each.name: each for each in ranked}

    @property
    def has_private_addresses(self) -> bool:
        """Whether the internet can see it only through a translation of addresses (NAT)."""
        addresses = [ipaddress.ip_interface(each.address) for each in self.interfaces if each.is_usable]
        return bool(addresses) and all(each.is_private for each in addresses)


def is_whole(text: str) -> bool:
    """Whether a node has answered to the end."""
    return END in text.splitlines()


def parse_report(text: str) -> ProbeReport:
    """The report in a job's output; lines of others, such as of a prolog, are passed over."""
    facts: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        if tab and name.isidentifier():
            facts.setdefault(name, []).append(value.strip())

    def one(name: str) -> str:
        return next(iter(facts.get(name, [])), "")

    def number(name: str) -> int | None:
        return whole_number(one(name))

    kilobytes = number("memory_kb")
    ports = [whole_number(word) for word in one("local_ports").split()]
    files = (*(whole_number(word) for word in one("open_files").split("|")), None, None)
    return ProbeReport(
        host=one("host"),
        partition=one("partition"),
        clock=number("clock"),
        slurm_cpus=number("slurm_cpus"),
        visible_cpus=number("cpus_visible"),
        allowed_cpus=_allowed(one("cpus_allowed"), facts.get("cpu_quota", [])),
        memory_mb=None if kilobytes is None else kilobytes // 1024,
        gpus=[(name, whole_number(memory) or 0) for name, memory in _fields(facts, "gpu", 2)],
        interfaces=[
            NetInterface(name, address, whole_number(speed), whole_number(kind) == _INFINIBAND)
            for name, address, speed, kind in _fields(facts, "interface", 4)
        ],
        default_routes=list(dict.fromkeys(facts.get("default_route", []))),
        own_addresses=one("own_address").split(),
        local_ports=(ports[0], ports[1]) if len(ports) == 2 and ports[0] and ports[1] else None,
        disks=list({disk.path: disk for disk in _disks(facts)}.values()),
        shared=[(place, kind) for place, kind in _fields(facts, "shared", 2)],
        runtimes=list(dict.fromkeys(facts.get("runtime", []))),
        modules=one("modules") if "modules" in facts else None,
        pythons=list(dict.fromkeys((path, version) for path, version in _fields(facts, "python", 2))),
        libc=one("libc"),
        proxies=dict(_fields(facts, "proxy", 2)),  # type: ignore[arg-type]
        open_files=(files[0], files[1]),
        internet=_internet(facts.get("internet", [])),
    )


def _fields(facts: Mapping[str, Sequence[str]], name: str, count: int) -> Iterator[tuple[str, ...]]:
    """The values of a fact that have as many fields as they should."""
    for value in facts.get(name, ()):
        fields = value.split("|", count - 1)
        if len(fields) == count:
            yield tuple(fields)


def _disks(facts: Mapping[str, Sequence[str]]) -> Iterator[NodeDisk]:
    job = next(iter(facts.get("job", [])), "")
    for path, kind, kilobytes, free, writable, place in _fields(facts, "disk", 6):
        if len(job) >= _JOB_ID:
            path = path.replace(job, "${SLURM_JOB_ID}")
        yield NodeDisk(path, kind, whole_number(kilobytes) or 0, whole_number(free) or 0, writable == "yes", place)


def _allowed(cpus: str, quotas: Sequence[str]) -> int | None:
    """CPUs of the affinity, or fewer where a control group gives less time."""
    try:
        found = len(parse_numbers(cpus))
    except ValueError:
        return None
    for quota in quotas:
        microseconds, _, period = quota.partition(" ")
        most, every = whole_number(microseconds), whole_number(period)
        if most and every:
            found = min(found, max(1, most // every))
    return found


def _internet(answers: Sequence[str]) -> str:
    """How any of the addresses was reached."""
    ways = [answer.partition("|")[0] for answer in answers]
    return next((way for way in ("direct", "proxy", "none") if way in ways), "unknown")
