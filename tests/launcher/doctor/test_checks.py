"""Every check of `doctor`, on facts: what is right, and each thing that can be wrong, by name."""

from __future__ import annotations

from typing import Any

import pytest
from sound_cluster import GIB, RUNS, login, meeting, node, not_right, report, the_one

from curator_slurm.launcher.cli._show_doctor import lines
from curator_slurm.launcher.doctor.check_login import check_login
from curator_slurm.launcher.doctor.check_nodes import NodeNeeds
from curator_slurm.launcher.doctor.check_together import check_together
from curator_slurm.launcher.doctor.diagnose import judge
from curator_slurm.launcher.doctor.job import Seen
from curator_slurm.launcher.doctor.machine_facts import (
    AddressFacts,
    FolderFacts,
    GpuFacts,
    JobFacts,
    LocalFacts,
    PeerFacts,
    StagingFacts,
)
from curator_slurm.launcher.doctor.report import CHECKS, Check, Result, make_report
from curator_slurm.launcher.doctor.shared_folder import RACES


def test_a_sound_cluster_passes_every_check() -> None:
    found = report()
    assert found.healthy
    assert not_right(found) == []
    assert {each.name for each in found.checks} == set(CHECKS)
    assert found.nodes == ("n1", "n2")
    assert "0 checks failed, 0 warnings" in list(lines(found))


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "no links": ({"storage": RUNS.model_copy(update={"lacks": ("hard links",)})}, "storage-semantics", "hard links"),
    "no flock": ({"storage": RUNS.model_copy(update={"locks": False})}, "storage-semantics", "flock"),
    "full": ({"storage": RUNS.model_copy(update={"free_bytes": GIB // 2})}, "free-space", "512 MiB free"),
    "nearly full": ({"storage": RUNS.model_copy(update={"free_bytes": 5 * GIB})}, "free-space", "5.0 GiB free"),
    "no inodes": ({"storage": RUNS.model_copy(update={"free_files": 12})}, "free-space", "12 more files"),
    "over quota": (
        {"storage": FolderFacts(path="/shared/runs", problem="your quota is used up", step="make room")},
        "shared-storage",
        "quota",
    ),
    "no input": ({"places": (("input.paths.0", "`input.paths`: /data: no files match"),)}, "paths", "/data"),
    "no local disk": ({"local": LocalFacts(path="/nvme", problem="no /nvme here", step="x")}, "node-local", "/nvme"),
    "/dev/shm too small": ({"shm_free": 64 << 20}, "shared-memory", "/dev/shm has 64 MB free"),
    "/dev/shm small": ({"shm_free": 2 * GIB}, "shared-memory", "the object store is 1.9 GiB and not 4.8 GiB"),
    "bound to one CPU": ({"cpus_allowed": 1}, "cpus", "given 8 CPUs, and processes may run on 1"),
    "fewer CPUs": ({"cpus_online": 4, "cpus_allowed": 4}, "cpus", "given 8 CPUs, and the node has 4"),
    "less memory": ({"memory_machine": 8 * GIB}, "memory", "given 16.0 GiB, and the node has 8.0 GiB"),
    "a smaller control group": ({"memory": 8 * GIB}, "memory", "control group allows 8.0 GiB"),
    "a GPU missing": (
        {"gpus": GpuFacts(promised=4, tool="nvidia-smi", seen=3, problems=("nvidia-smi sees 3",))},
        "gpus",
        "sees 3",
    ),
    "no address": ({"network": AddressFacts(problem="no address for Ray", step="set it")}, "address", "no address"),
    "no ports": (
        {"network": AddressFacts(address="10.0.0.2", port_problem="no free ports in 1-2", port_step="widen it")},
        "ports",
        "no free ports",
    ),
    "a range of Linux": (
        {"network": AddressFacts(address="10.0.0.2", listens=(1,), port_note="network.port_range 1-2 overlaps 1-9")},
        "ports",
        "overlaps",
    ),
    "an old Ray": ({"ray_problem": "Ray 2.40 has no token authentication", "ray_step": "install"}, "ray", "no token"),
    "few files": ({"limits": ("at most 256 open files (ulimit -n), and Ray needs 4,096; ask",)}, "limits", "256 open"),
    "another Python": ({"versions": {**node().versions, "python": "3.12.1"}}, "versions", "python 3.12.1 here"),
    "another Ray": ({"versions": {**node().versions, "ray": "2.55.0"}}, "versions", "ray 2.55.0 here, 2.60.0 on"),
    "another module": ({"modules": ("gcc/13",)}, "modules", "gcc gcc/13 here, none on the others"),
    "a proxy": ({"proxies": {"http_proxy": "http://p:1"}}, "proxies", "http_proxy http://p:1 here"),
}  # fmt: skip
WARNINGS = (
    "no flock", "nearly full", "/dev/shm small", "fewer CPUs", "a smaller control group", "a range of Linux",
    "few files", "another module", "a proxy",
)  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_node_is_named_with_the_node(what: str) -> None:
    changed, name, words = BROKEN[what]
    found = the_one(report(node("n1"), node("n2", **changed)))
    assert (found.name, found.nodes) == (name, ("n2",))
    assert words in found.message
    assert found.result is (Result.WARNING if what in WARNINGS else Result.FAILED)


def test_what_is_only_about_ray_is_passed_over_without_it() -> None:
    sick = node("n2", shm_free=1, ray_problem="x", network=AddressFacts(problem="no address"))
    found = report(node("n1"), sick, needs=NodeNeeds(ray=False))
    assert not_right(found) == []
    skipped = {each.name for each in found.checks if each.result is Result.SKIPPED}
    assert {"shared-memory", "ray", "address", "ports", "reachability"} <= skipped


def test_a_sick_gpu_that_may_be_used_is_a_warning() -> None:
    sick = node("n2", gpus=GpuFacts(promised=1, tool="nvidia-smi", seen=1, problems=("GPU 0: is lost",)))
    found = the_one(report(node("n1"), sick, needs=NodeNeeds(check_gpus=False)))
    assert (found.name, found.result) == ("gpus", Result.WARNING)


def test_gpus_are_compared_and_named() -> None:
    one, other = (GpuFacts(promised=1, tool="nvidia-smi", seen=1, driver=version) for version in ("570.1", "550.2"))
    assert not_right(report(node("n1", gpus=one), node("n2", gpus=one))) == []
    assert not_right(report(node("n1", gpus=one), node("n2"))) == [], "a node without GPUs needs no driver"
    found = the_one(report(node("n1", gpus=one), node("n2", gpus=other)))
    assert "GPU driver 550.2 here, 570.1 on the others" in found.message
    unasked = report(node("n1", gpus=GpuFacts(promised=2)), node("n2"))
    assert any(each.name == "gpus" and "neither" in each.message for each in unasked.checks)


def test_a_missing_runtime_of_containers() -> None:
    needs = NodeNeeds(runtimes=("apptainer", "pyxis"))
    found = the_one(report(node("n1", runtimes=("apptainer",)), node("n2"), needs=needs))
    assert (found.name, found.nodes) == ("containers", ("n2",))
    inside = report(needs=NodeNeeds(image="curator.sif"))
    assert any(each.name == "containers" and "curator.sif" in each.message for each in inside.checks)


def test_what_is_staged() -> None:
    staging = StagingFacts(files=20_000, room=60 * GIB, outside=("/shared/project",))
    found = report(at_login=login(staging=staging), needs=NodeNeeds(staged=60 * GIB))
    here, nodes = [each for each in found.checks if each.name == "staging" and each.result is Result.WARNING]
    assert "/shared/project" in here.message
    assert "/tmp has 50.0 GiB free" in nodes.message
    assert nodes.nodes == ("n1", "n2")
    without = the_one(report(node("n1", has_zstd=False), node("n2"), needs=NodeNeeds(staged=GIB)))
    assert (without.name, without.nodes) == ("staging", ("n1",))
    assert "zstd" in without.message
    unseen = the_one(report(at_login=login(staging=StagingFacts(problem="it cannot be seen here"))))
    assert unseen.name == "staging"


def test_files_that_the_others_do_not_see() -> None:
    found = the_one(report(meetings=(meeting("n2", unseen=("n1",)),)))
    assert (found.name, found.nodes) == ("shared-storage", ("n2",))
    assert "files of n1 did not appear in /shared/runs" in found.message


def test_a_node_that_ended_early() -> None:
    facts = {"n1": node("n1"), "n2": node("n2")}
    found = report(*facts.values())
    assert found.healthy
    checks = check_together(facts, {"n1": meeting("n1")}, JobFacts(), NodeNeeds())
    (wrong,) = [each for each in checks if each.result is Result.FAILED]
    assert (wrong.name, wrong.nodes) == ("shared-storage", ("n2",))


@pytest.mark.parametrize(
    ("times", "result", "words"),
    [([3.0, 4000.0, 5000.0], Result.WARNING, "after 4000 ms, at most 5000"), ([], Result.FAILED, "not seen")],
)
def test_storage_that_shows_files_late(times: list[float], result: Result, words: str) -> None:
    found = the_one(report(meetings=(meeting("n1", echo_ms={"n2": times}),)))
    assert (found.name, found.nodes, found.result) == ("storage-delay", ("n2",), result)
    assert words in found.message


def test_what_two_nodes_both_make_is_no_lock() -> None:
    found = the_one(report(meetings=(meeting("n2", races=RACES),)))
    assert found.name == "storage-semantics"
    assert "mkdir succeeds on several nodes at once" in found.message or "create, link, mkdir" in found.message
    links = tuple(name for name in RACES if not name.startswith("link"))
    found = the_one(report(meetings=(meeting("n1", races=links),)))
    assert found.message == "link succeeds on no node"


def peer(**changed: Any) -> PeerFacts:
    return PeerFacts(node="n1", address="10.0.0.1", **changed)


@pytest.mark.parametrize(
    ("met", "words", "step"),
    [
        (peer(answered=0, silent={20001: "no answer within 3 s"}), "n2 does not reach n1 at 10.0.0.1", "interface"),
        (
            peer(answered=1, silent={20002: "connection refused"}, ms=1.0, clock_ahead_s=0.0),
            "n2 does not reach ports 20002 of n1 (10.0.0.1): connection refused",
            "port_range",
        ),
        (peer(silent={20001: "another node answered"}, stranger=True), "somebody else answers n2", "interface"),
    ],
)
def test_nodes_that_do_not_reach_each_other(met: PeerFacts, words: str, step: str) -> None:
    found = the_one(report(meetings=(meeting("n2", peers=(met,)),)))
    assert (found.name, found.nodes) == ("reachability", ("n2",))
    assert words in found.message
    assert step in found.next_step


def test_one_node_has_nobody_to_call() -> None:
    found = report(node("n1", nodes=("n1",)), meetings=(meeting("n1", peers=(), echo_ms={}),))
    assert [each.result for each in found.checks if each.name == "reachability"] == [Result.SKIPPED]
    assert found.healthy


@pytest.mark.parametrize(
    ("seconds", "result", "words"),
    [
        (3600.2, Result.FAILED, "3,600 s ahead of that of n1"),
        (-3600.0, Result.FAILED, "3,600 s behind that of n1"),
        (5.0, Result.WARNING, "5 s ahead of that of n1"),
        (1.0, None, ""),
    ],
)
def test_clocks(seconds: float, result: Result | None, words: str) -> None:
    other = PeerFacts(node="n2", address="10.0.0.2", answered=2, ms=0.3, clock_ahead_s=seconds)
    found = report(meetings=(meeting("n1", peers=(other,)),))
    if result is None:
        assert not_right(found) == []
        return
    wrong = the_one(found)
    assert (wrong.name, wrong.nodes, wrong.result) == ("clock", ("n2",), result)
    assert words in wrong.message


def test_all_clocks_differ_from_ours() -> None:
    found = the_one(report(job={"submitted": 4600.0, "answered": 4610.0}))
    assert (found.name, found.nodes) == ("clock", ("n1",))
    assert "behind that of this machine" in found.message


def test_a_job_that_says_nothing() -> None:
    found = judge(login(), Seen(JobFacts(job_id="7", problem="Slurm refuses it", step="ask")), NodeNeeds())
    assert the_one(found).name == "job"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("environment.modules: module load cuda failed", "modules"),
        ("environment.setup: this command failed: false", "software"),
        ("apptainer could not start the container: exit code 255", "containers"),
        ("the Python interpreter /x is missing on this node, or may not be run", "software"),
        ("does not see /shared/runs: is it on shared storage?", "shared-storage"),
        ("the run directory cannot be written on this node: No space left on device: /x", "shared-storage"),
    ],
)
def test_a_node_that_refuses_is_named_with_what_it_says(message: str, name: str) -> None:
    job = {"refusals": {"n2": (message, "mend it")}, "nodes": ("n1", "n2")}
    alone = node("n1")
    found = the_one(report(alone, job=job))
    assert (found.name, found.nodes, found.message, found.next_step) == (name, ("n2",), message, "mend it")


def test_a_node_of_which_nothing_came() -> None:
    job = {"nodes": ("n1", "n2"), "silent": ("n2",), "log": ("srun: error: n2: task 1: Exited with exit code 127",)}
    found = the_one(report(node("n1"), job=job, meetings=(meeting("n1", unseen=("n2",)),)))
    assert (found.name, found.nodes) == ("shared-storage", ("n2",))
    assert "exit code 127" in found.message


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"slurm_problem": "sbatch is not on PATH", "slurm_step": "load it"}, "slurm"),
        ({"site_problems": ("site.yaml:3: unknown key",)}, "site"),
        ({"spec_problems": ("spec.yaml:3: unknown key",)}, "spec"),
        ({"spec_warnings": ("looks like a secret",)}, "spec"),
        ({"runs": FolderFacts(path="/x", problem="permission denied", step="check")}, "runs-folder"),
        ({"runs": RUNS.model_copy(update={"free_bytes": 1})}, "free-space"),
    ],
)
def test_this_machine(changed: dict[str, Any], name: str) -> None:
    checks = list(check_login(login(**changed)))
    assert the_one(make_report("login1", (), "", checks)).name == name


def test_what_is_printed() -> None:
    shown = "\n".join(lines(report(node("n1"), node("n2", shm_free=64 << 20))))
    assert "FAILED   shared-memory      n2: /dev/shm has 64 MB free" in shown
    assert "-> free /dev/shm on the node" in shown
    assert "n[1-2]: clocks" not in shown
    assert "ok       clock              n[1-2]: the clocks agree" in shown
    check = Check("clock", "", Result.OK, ("a-b", "n07"), "agree", "")
    assert any("a-b,n07: agree" in line for line in lines(make_report("l", ("a-b", "n07"), "1", [check])))
