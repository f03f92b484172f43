"""Facts of two nodes on which everything is right, to be changed by tests."""

from __future__ import annotations

from typing import Any

from curator_slurm.launcher.doctor.check_nodes import NodeNeeds
from curator_slurm.launcher.doctor.diagnose import judge
from curator_slurm.launcher.doctor.job import Seen
from curator_slurm.launcher.doctor.machine_facts import (
    AddressFacts,
    FolderFacts,
    JobFacts,
    LocalFacts,
    LoginFacts,
    MeetingFacts,
    NodeFacts,
    PeerFacts,
)
from curator_slurm.launcher.doctor.report import Check, DoctorReport, Result
from curator_slurm.launcher.doctor.shared_folder import RACES

GIB = 1 << 30
RUNS = FolderFacts(path="/shared/runs", kind="nfs4", free_bytes=100 * GIB, free_files=10_000_000)


def node(name: str = "n1", **changed: Any) -> NodeFacts:
    number = int(name[1:]) - 1
    values: dict[str, Any] = {
        "node": name,
        "number": number,
        "nodes": ("n1", "n2"),
        "clock": 1000.0,
        "python": "/venv/bin/python",
        "versions": {"python": "3.11.2", "curator-slurm": "0.1.0", "ray": "2.60.0"},
        "cpus": 8,
        "cpus_online": 8,
        "cpus_allowed": 8,
        "memory": 16 * GIB,
        "memory_promised": 16 * GIB,
        "memory_machine": 64 * GIB,
        "shm_free": 32 * GIB,
        "storage": RUNS,
        "local": LocalFacts(path="/tmp", kind="ext4", free_bytes=50 * GIB),
        "gpus": {},
        "network": AddressFacts(address=f"10.0.0.{number + 1}", port_range=(20000, 29999), listens=(20001, 20002)),
    }
    return NodeFacts.model_validate({**values, **changed})


def meeting(name: str = "n1", **changed: Any) -> MeetingFacts:
    other = "n2" if name == "n1" else "n1"
    peer = PeerFacts(node=other, address="10.0.0.9", answered=2, ms=0.4, clock_ahead_s=0.01)
    echo_ms = {"n2": [3.0, 4.0, 9.0]} if name == "n1" else {}
    races = RACES if name == "n1" else ()
    return MeetingFacts(node=name, **{"peers": (peer,), "echo_ms": echo_ms, "races": races, **changed})


def login(**changed: Any) -> LoginFacts:
    values = {"host": "login1", "python": "/venv/bin/python", "version": "0.1.0", "slurm_version": "24.05.1"}
    return LoginFacts.model_validate({**values, "runs": RUNS, **changed})


def report(
    *nodes: NodeFacts,
    meetings: tuple[MeetingFacts, ...] | None = None,
    job: dict[str, Any] | None = None,
    at_login: LoginFacts | None = None,
    needs: NodeNeeds | None = None,
) -> DoctorReport:
    """What is said of these nodes, by default of two on which everything is right."""
    facts = {each.node: each for each in nodes or (node("n1"), node("n2"))}
    met = {each.node: each for each in (meeting("n1"), meeting("n2")) if each.node in facts}
    if meetings is not None:
        met |= {each.node: each for each in meetings}
    times = {"job_id": "7", "nodes": tuple(facts), "submitted": 990.0, "answered": 1010.0}
    seen = Seen(JobFacts.model_validate({**times, **(job or {})}), facts, met)
    return judge(at_login or login(), seen, needs or NodeNeeds())


def not_right(found: DoctorReport) -> list[tuple[str, str, tuple[str, ...], str]]:
    """(name, result, nodes, message) of what is neither right nor passed over."""
    return [
        (each.name, each.result.value, each.nodes, each.message)
        for each in found.checks
        if each.result in (Result.FAILED, Result.WARNING)
    ]


def the_one(found: DoctorReport) -> Check:
    """The only check that is not right; it says how to mend it."""
    wrong = [each for each in found.checks if each.result in (Result.FAILED, Result.WARNING)]
    assert len(wrong) == 1, not_right(found)
    assert wrong[0].next_step
    assert found.healthy is (wrong[0].result is Result.WARNING)
    return wrong[0]
