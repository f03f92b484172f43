"""What `doctor` tries on folders and ports, on this machine: nodes are folders and threads here."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sound_cluster import node

from curator_slurm.common.file_systems import file_system_of
from curator_slurm.launcher.doctor import meeting, shared_folder
from curator_slurm.launcher.doctor.examine import proxies
from curator_slurm.launcher.doctor.job import refusals_in
from curator_slurm.launcher.doctor.machine_facts import AddressFacts, NodeFacts
from curator_slurm.launcher.doctor.meeting import Listener, called_by, meet
from curator_slurm.launcher.doctor.shared_folder import RACES, look_at


def test_a_good_folder_is_left_as_it_was(tmp_path: Path) -> None:
    found = look_at(tmp_path / "new" / "runs")
    assert (found.problem, found.lacks, found.locks) == ("", (), True)
    assert found.free_bytes
    assert list((tmp_path / "new" / "runs").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = look_at(tmp_path / "file" / "runs")
    assert "not a folder" in found.problem
    assert found.step


@pytest.mark.parametrize(
    ("method", "words"),
    [("hardlink_to", "hard links"), ("symlink_to", "symbolic links"), ("replace", "by rename"), ("chmod", "modes")],
)
def test_an_operation_that_storage_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, method, refuse)
    (lack,) = look_at(tmp_path).lacks
    assert words in lack


def test_storage_that_renames_over_what_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", lambda *_: None)
    (lack,) = look_at(tmp_path).lacks
    assert "over a full one" in lack


def test_the_kind_of_a_file_system() -> None:
    mounts = (
        "/ / ext4 rw\nnas:/x /shared nfs4 rw\nnas:/y /shared/with\\040space lustre rw\nother /sharedness tmpfs rw\n"
    )
    assert file_system_of(Path("/shared/runs"), mounts) == "nfs4"
    assert file_system_of(Path("/sharedness"), mounts) == "tmpfs"
    assert file_system_of(Path("/elsewhere"), mounts) == "ext4"
    assert file_system_of(Path("/shared/with space/x"), mounts) == "lustre"


def test_one_node_wins_each_race(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda name: list(shared_folder.run_races(tmp_path, name)), ["n1", "n2", "n3", "n4"]))
    assert sorted(name for names in won for name in names) == sorted(RACES)


def test_echoes_are_measured(tmp_path: Path) -> None:
    until = time.monotonic() + 60
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(shared_folder.answer_echoes, tmp_path, name, until) for name in ("n2", "n3")]
        found = shared_folder.echoes(tmp_path, ["n2", "n3"], until)
        for other in others:
            other.result()
    assert {name: len(times) for name, times in found.items()} == {"n2": 3, "n3": 3}


def test_a_node_that_does_not_answer_costs_no_more_than_there_is_time(tmp_path: Path) -> None:
    assert shared_folder.echoes(tmp_path, ["n2"], time.monotonic() + 0.05) == {"n2": []}


@pytest.fixture
def listener() -> Iterator[Listener]:
    free = []
    for _ in range(3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free.append(probe.getsockname()[1])
    listening = Listener("n2", "token", "127.0.0.1", sorted(set(free)))
    yield listening
    listening.close()


def at(*ports: int) -> NodeFacts:
    return node("n2", network=AddressFacts(address="127.0.0.1", listens=ports))


def test_a_node_that_answers_on_all_ports(listener: Listener) -> None:
    found = meet(at(*listener.ports), "token")
    assert (found.answered, found.silent) == (len(listener.ports), {})
    assert found.clock_ahead_s is not None
    assert abs(found.clock_ahead_s) < 5


def test_a_port_that_nobody_serves(listener: Listener) -> None:
    with socket.socket() as unserved:
        unserved.bind(("127.0.0.1", 0))
        port = unserved.getsockname()[1]
        found = meet(at(port, *listener.ports), "token")
    assert found.silent == {port: "connection refused"}
    assert found.answered == len(listener.ports)


def test_a_port_that_is_dropped(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "CALL_S", 0.05)
    with socket.socket() as full:  # nobody accepts, and its queue is full: connections hang as behind a firewall
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        kept = [socket.socket() for _ in range(4)]
        for each in kept:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        found = meet(at(port), "token")
        for each in kept:
            each.close()
    assert "no answer within" in found.silent[port]


def test_another_node_at_the_address(listener: Listener) -> None:
    found = meet(at(*listener.ports), "another token")
    assert (found.answered, found.stranger) == (0, True)


def test_a_node_without_an_address_is_not_called() -> None:
    assert meet(node("n2", network=AddressFacts(problem="none")), "token").silent == {}


def test_whom_a_node_calls() -> None:
    few = [node(f"n{number}") for number in range(1, 5)]
    assert [each.node for each in called_by(1, few)] == ["n1", "n3", "n4"]
    many = [node(f"n{number}") for number in range(1, 101)]
    called = [each.node for each in called_by(98, many)]
    assert len(called) == 32
    assert called[:4] == ["n1", "n100", "n2", "n3"]
    assert all(
        sum(each in [peer.node for peer in called_by(n, many)] for n in range(100)) >= 31 for each in ("n1", "n50")
    )


def test_passwords_of_proxies_stay_where_they_are() -> None:
    found = proxies({"https_proxy": "http://me:secret@proxy:3128", "NO_PROXY": "localhost", "PATH": "/bin"})
    assert found == {"NO_PROXY": "localhost", "https_proxy": "http://...@proxy:3128"}


def test_what_nodes_say_in_the_log_of_the_job() -> None:
    log = (
        "curator-slurm: n2: environment.modules: module load x failed; load it by hand",
        "curator-slurm: n3 does not see /shared/runs: is it on shared storage?",
        "curator-slurm: n1: apptainer starts the container",
        "Lmod has detected an error",
        "srun: error: n2: task 1: Exited with exit code 78",
    )
    found = refusals_in(log)
    assert found["n2"] == ("environment.modules: module load x failed", "load it by hand")
    assert found["n3"][0].startswith("does not see /shared/runs")
    assert set(found) == {"n2", "n3"}


def test_sockets_are_tried(tmp_path: Path) -> None:
    from curator_slurm.launcher.doctor.examine import _socket_problem

    assert _socket_problem(Path(os.path.realpath("/tmp")) / f"cs-test-{os.getpid()}") == ""
    assert "no socket can be made" in _socket_problem(tmp_path / ("x" * 100))
