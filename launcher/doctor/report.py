"""What `doctor` has found: one entry for each check, or for each answer to it where nodes differ. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Result(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


CHECKS: Mapping[str, str] = {
    "slurm": "Slurm answers",
    "site": "the site files load",
    "spec": "the spec is right, as `validate` has it",
    "runs-folder": "the runs folder can be written on this machine",
    "job": "Slurm takes and starts a small job",
    "software": "the spec's software starts on every node",
    "modules": "modules load, and are equal on all nodes",
    "shared-storage": "every node sees the runs folder and what others write there",
    "storage-delay": "how long new files of one node take to be seen by the others",
    "storage-semantics": "rename, link and mkdir do what runs rely on, also between nodes",
    "free-space": "room in the runs folder",
    "paths": "what the spec names is there on every node",
    "node-local": "the node-local folder takes Ray's session and its sockets",
    "shared-memory": "/dev/shm holds Ray's object store",
    "cpus": "CPUs promised by Slurm and seen",
    "memory": "memory promised by Slurm and there",
    "gpus": "GPUs promised by Slurm, seen and healthy",
    "address": "the node has the address that the spec prefers",
    "ports": "Ray's ports are free",
    "reachability": "every node reaches every other on its address and Ray's ports",
    "clock": "the clocks of the nodes agree",
    "versions": "Python, Ray and other packages are equal on all nodes",
    "ray": "Ray is there, and new enough",
    "limits": "open files and processes suffice for Ray",
    "proxies": "all nodes have the same proxies",
    "staging": "what is staged can be seen, and nodes can unpack it",
    "containers": "the spec's container starts, or the runtimes that the site names are there",
}
"""Name -> what it is about; the order in which they are shown."""


@dataclass(frozen=True)
class Check:
    """One answer to one check: on which nodes (none: on this machine, or about all together), and how to mend it."""

    name: str
    what: str
    result: Result
    nodes: tuple[str, ...]
    message: str
    next_step: str


@dataclass(frozen=True)
class DoctorReport:
    """All checks; `healthy` where none has failed. `nodes` and `job_id` are of the job, empty without one."""

    healthy: bool
    host: str
    nodes: tuple[str, ...]
    job_id: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Judgement:
    """What a check says of one node, or of all."""

    result: Result
    message: str
    next_step: str = ""


def ok(message: str) -> Judgement:
    return Judgement(Result.OK, message)


def warning(message: str, next_step: str) -> Judgement:
    return Judgement(Result.WARNING, message, next_step)


def failed(message: str, next_step: str) -> Judgement:
    return Judgement(Result.FAILED, message, next_step)


def skipped(message: str) -> Judgement:
    return Judgement(Result.SKIPPED, message)


def check(name: str, verdict: Judgement, nodes: Iterable[str] = ()) -> Check:
    return Check(name, CHECKS[name], verdict.result, tuple(nodes), verdict.message, verdict.next_step)


Judge = Callable[[str], Iterable[Judgement]]


def of_nodes(name: str, nodes: Sequence[str], judge: Judge) -> list[Check]:
    """The verdicts about each node as checks: nodes of which the same is said share one."""
    found: dict[Judgement, list[str]] = {}
    for node in nodes:
        for verdict in judge(node):
            found.setdefault(verdict, []).append(node)
    return [check(name, verdict, members) for verdict, members in found.items()]


def make_report(host: str, nodes: Sequence[str], job_id: str, checks: Iterable[Check]) -> DoctorReport:
    """The report, in the order of CHECKS, the worst of each first."""
    order, results = list(CHECKS), [Result.FAILED, Result.WARNING, Result.OK, Result.SKIPPED]
    places = {node: place for place, node in enumerate(nodes)}
    found = sorted(checks, key=lambda each: (order.index(each.name), results.index(each.result)))
    found = [
        replace(each, nodes=tuple(sorted(each.nodes, key=lambda node: places.get(node, len(places))))) for each in found
    ]
    return DoctorReport(
        all(each.result is not Result.FAILED for each in found), host, tuple(nodes), job_id, tuple(found)
    )
