"""What others get from two runs on the same nodes, one of them without TLS: by every port, and from the network."""

from __future__ import annotations

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.spec.port_blocks import SERVICES
from on_slurm.runs import WAIT_S, Runs, program

ROOT = Path(__file__).parents[2]
STRANGER = Path(__file__).with_name("stranger.py")
PLAIN, TLS = "plain", "tls"
WORDS = ("small", "back", "large")

TEXT = """
import pathlib
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def wait_for(file):
    (folder / f"{name}-waits-for-{file}").touch()
    while not (folder / file).exists():
        time.sleep(0.1)
@ray.remote
def work(text):
    return socket.gethostname(), text.replace("small", "back"), (text.replace("small", "large") * 100_000).encode()
places = [f"node:{node['NodeManagerAddress']}" for node in ray.nodes()]
wait_for("start")
found = ray.get([work.options(resources={place: 0.1}).remote(f"canary-{name}-small") for place in places])
wait_for("end")
print("hosts", sorted(host for host, back, data in found), "nodes", len(ray.nodes()))
"""
"""A word that goes to each node with a task, another that comes back, and a third that fills an object."""


@dataclass(frozen=True)
class Row:
    """A row of the table in SECURITY.md."""

    listens: str
    answers: frozenset[str]


def table() -> dict[str, Row]:
    """SECURITY.md's ports: what it says of each."""
    section = (ROOT / "SECURITY.md").read_text().split("## Ports")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        name.split("`")[1]: Row(where.strip(), frozenset(re.findall(r"`([a-z/][\w./]*)`", what)))
        for name, where, what in rows
    }


@dataclass(frozen=True)
class Listener:
    """Something of the run that listens on a node."""

    node: str
    address: str
    port: int
    run: str
    service: str

    @property
    def is_local(self) -> bool:
        return "127.0.0.1" in self.address


def blocks(run_dir: Path) -> dict[str, PortBlock]:
    """The ports of a run on each node, as its agents have noted them."""
    found = {}
    for path in run_dir.glob("elements/*/nodes/*/agent.log"):
        first, last = re.findall(r"with ports ([0-9]+)-([0-9]+)", path.read_text())[-1]
        found[path.parent.name] = PortBlock(int(first), int(last))
    return found


def listeners(cluster: SlurmCluster, run_dirs: dict[str, Path]) -> list[Listener]:
    """All that alice's processes listen on; each must belong to one of the runs, or be Slurm's."""
    kept = {name: blocks(run_dir) for name, run_dir in run_dirs.items()}
    found = []
    for node in cluster.nodes:
        for address, port, command in cluster.listening(node):
            if command == "srun":
                assert node == "n1"
                continue
            (name,) = [name for name in kept if kept[name][node].first <= port <= kept[name][node].last]
            block = kept[name][node]
            services = [service for service in SERVICES if block[service] == port]
            found.append(Listener(node, address, port, name, services[0] if services else "workers"))
    return found


def where(cluster: SlurmCluster, each: Listener) -> str:
    """A listener's address in the words of the table."""
    address = each.address.removeprefix("::ffff:")
    known = {"0.0.0.0": "all addresses", "::": "all addresses", "127.0.0.1": "localhost"}
    return known.get(address) or {cluster.state.addresses[each.node]: "node"}[address]


def knock(cluster: SlurmCluster, found: list[Listener]) -> list[tuple[Listener, dict[str, Any]]]:
    """mallory tries each: those on localhost from their node, the others from n1."""

    def from_node(node: str) -> list[tuple[Listener, dict[str, Any]]]:
        mine = [each for each in found if (each.node if each.is_local else "n1") == node]
        doors = [("127.0.0.1" if each.is_local else cluster.state.addresses[each.node], each.port) for each in mine]
        command = [sys.executable, str(STRANGER)]
        done = cluster.run(command, user="mallory", node=node, input=json.dumps(doors), timeout=WAIT_S, check=True)
        return list(zip(mine, json.loads(done.stdout), strict=True))

    with ThreadPoolExecutor() as pool:
        return [answer for answers in pool.map(from_node, cluster.nodes) for answer in answers]


def answered(door: dict[str, Any]) -> set[str]:
    """What a port has told a stranger: pages, and gRPC services."""
    found: set[str] = set()
    for answers in door["answers"].values():
        for name, answer in answers.items():
            if door["kind"] == "http":
                found |= {name} if answer[0] not in (401, 403, 404) else set()
            elif answer not in ("UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"):
                found.add(name.split("/")[1])
    return found


@dataclass(frozen=True)
class Seen:
    """Both runs, as others have seen them."""

    listeners: list[Listener]
    doors: list[tuple[Listener, dict[str, Any]]]
    network: dict[str, Any]
    tokens: dict[str, str]

    def on_the_wire(self, name: str) -> list[int]:
        """How often the words and the token of a run were read from the network."""
        return [self.network["seen"][word] for word in (*words(name), self.tokens[name])]


def words(name: str) -> list[str]:
    return [f"canary-{name}-{word}" for word in WORDS]


def submit(runs: Runs, name: str) -> tuple[str, Path]:
    without = {"tls": False} if name == PLAIN else {}
    spec = program(TEXT, name=name, cluster={"dashboard": True, **without})
    spec["pipeline"]["command"] += [name, str(runs.folder)]
    submitted = runs.submit(spec)
    return submitted["run_id"], Path(submitted["run_dir"])


@pytest.fixture(scope="module")
def seen(slurm_cluster: SlurmCluster) -> Seen:
    """Two runs from their start to their end, which must not disturb each other; looked at while they do nothing."""
    folder = slurm_cluster.shared / "open-ports"
    folder.mkdir()
    os.chown(folder, slurm_cluster.uid(), slurm_cluster.uid())
    runs = Runs(slurm_cluster, folder)
    submitted = {}

    def reached(file: str) -> None:
        """Of all that are submitted."""
        logs = f"read {folder}/runs/*/*/slurm-*.log"
        waits = lambda: len(list(folder.glob(f"*-waits-for-{file}"))) == len(submitted)  # noqa: E731
        wait_for(f"{', '.join(submitted)} to wait for {file}", waits, WAIT_S, logs)

    for name in (PLAIN, TLS):  # six nodes that start Ray at once are too much for a small machine
        submitted[name] = submit(runs, name)
        reached("start")
    run_dirs = {name: run_dir for name, (_, run_dir) in submitted.items()}
    tokens = {name: next(run_dir.glob("secrets/ray-token.*")).read_text() for name, run_dir in run_dirs.items()}
    with slurm_cluster.capture([*words(PLAIN), *words(TLS), *tokens.values()]) as network:
        (folder / "start").touch()
        reached("end")
    found = listeners(slurm_cluster, run_dirs)
    doors = knock(slurm_cluster, found)
    (folder / "end").touch()
    for name, (run_id, run_dir) in submitted.items():
        done = runs.watch(run_id)
        assert done.returncode == 0, done.output
        log = "\n".join(path.read_text() for path in run_dir.glob("attempts/*/*/driver.log"))
        assert "hosts ['n1', 'n2', 'n3'] nodes 3" in log, name
        events = "\n".join(path.read_text() for path in run_dir.glob("elements/*/events.jsonl"))
        assert "strangers_refused" in events
        assert not (run_dir / "secrets").exists()
    runs.assert_nothing_left()
    return Seen(found, doors, network, tokens)


def test_nothing_listens_that_the_table_does_not_have(seen: Seen, slurm_cluster: SlurmCluster) -> None:
    rows = table()
    assert set(rows) == {*SERVICES, "workers", "srun"}
    off = {service for service, row in rows.items() if row.listens == "off"}
    assert off == {"dashboard_metrics", "metrics_export"}
    for name in (PLAIN, TLS):
        places: dict[str, set[str]] = {}
        for each in seen.listeners:
            if each.run == name:
                places.setdefault(each.service, set()).add(where(slurm_cluster, each))
        assert set(places) == set(rows) - off - {"srun"}
        for service, found in places.items():
            assert found == set(rows[service].listens.split(" and ")), service


def test_a_stranger_gets_from_each_port_what_the_table_has_and_nothing_else(seen: Seen) -> None:
    """Without a token, and with a wrong one: every method and page there is."""
    rows = table()
    told: dict[str, set[str]] = {}
    for each, door in seen.doors:
        if each.run == PLAIN:
            told.setdefault(each.service, set()).update(answered(door))
            assert door["untried"] == [], each
            assert door["kind"] == "gone" or all(door["answers"].values()), each
    assert told == {service: set(rows[service].answers) for service in told}
    assert {"gcs", "node_manager", "object_manager", "workers", "dashboard"} <= set(told)


def test_with_tls_no_grpc_server_lets_a_stranger_say_a_word(seen: Seen) -> None:
    tried = 0
    for each, door in seen.doors:
        if each.run == TLS and door["kind"] == "grpc":
            codes = {code for answers in door["answers"].values() for code in answers.values()}
            assert codes == {"UNAVAILABLE"}, each
            tried += 1
    assert tried >= 3 * len({"node_manager", "object_manager", "agent_grpc", "workers"})


def test_the_network_carries_tasks_results_objects_and_the_token_in_clear_without_tls_only(seen: Seen) -> None:
    assert seen.network["dropped"] == 0
    assert 0 not in seen.on_the_wire(PLAIN), seen.network
    assert seen.on_the_wire(TLS) == [0] * (len(WORDS) + 1)
