"""How a job of many nodes comes together: the agents' own code on a real file system, with a stand-in for Ray.

    .venv/bin/python benchmarks/joining.py                          # 10, 100 and 1,000 nodes: two minutes
    .venv/bin/python benchmarks/joining.py --nodes 10 1000 --json out.json

Every agent is a thread of one process, from its first check of the node to its end; the run directory is real, time is
real. The stand-in for Ray's head answers after as many seconds as Ray's own takes, a node is a member some seconds
after its start, and nothing else of Ray is there: how the control service bears the burst is not measured here, only
how large the burst is. What all agents share on this machine, such as its processors, a cluster has once for each node.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from curator_slurm.launcher.agent import bootstrap, context, head, head_watch, node, preflight, session, worker
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

HEAD_S, JOIN_S = 5.0, 2.5
"""Until Ray's head answers, and from the start of a node's Ray, with the head there, to its membership: as measured."""
IDLE_S = 10.0
_AUDITED = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.utime")
BEGINS_LATER = hasattr(node.ray_process.RayProcess, "begin")
"""Whether Ray's process waits for the head's address."""
_PLAN = """
schema_version: 1
version: simulated
cluster: slurm
spec: {name: simulated, pipeline: {command: "true"}, resources: {nodes: %d}, cluster: {join_timeout_s: 400}}
spec_dir: /
python: /usr/bin/python3
"""


@dataclass(frozen=True)
class Row:
    """What was found with one number of nodes; operations are on the run directory."""

    nodes: int
    joined_s: float
    """From the start of the agents until the head counts all nodes in."""
    left_s: float
    """From the head's word to the last agent's end."""
    most_joins: int
    """Nodes that became members of Ray's cluster within one second."""
    head_operations: float
    node_operations: float
    all_operations: float
    """In a second, on average, while nodes join: of the head, of each other node, of all."""
    idle_operations: float
    """Of all in a second, while nothing happens."""
    kib: float
    """Read and written by each node until all have joined."""
    questions: float
    """To Ray's control service in a second, by all agents, while nodes join."""
    idle_core: float
    """Share of a core that each agent takes while nothing happens."""


class Operations:
    """Counts calls about files of a run, by who made them."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.counts: Counter[bool] = Counter()
        self._stat = os.stat
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is not None and event in _AUDITED and str(arguments[0]).startswith(self.root):
            self._count()

    def stat(self, path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if self.root is not None and str(path).startswith(self.root):
            self._count()
        return self._stat(path, *arguments, **options)

    def _count(self) -> None:
        self.counts[threading.current_thread().name.startswith("node-")] += 1

    def take(self) -> tuple[int, int]:
        """Of the head and of the others, since the last time."""
        counts, self.counts = self.counts, Counter()
        return counts[False], counts[True]


OPERATIONS = Operations()
"""Only one: what listens to Python's audit events cannot be taken away again."""


class RayCluster:
    """The stand-in: who is a member when."""

    def __init__(self, head_s: float, join_s: float) -> None:
        self.head_s, self.join_s = head_s, join_s
        self.head_up = float("inf")
        self.starts: dict[str, float] = {}
        self.questions = 0

    def start(self, address: str, *, is_head: bool) -> None:
        self.starts[address] = time.monotonic()
        if is_head:
            self.head_up = time.monotonic() + self.head_s

    def joined_at(self, address: str) -> float:
        started = self.starts.get(address, float("inf"))
        return self.head_up if started + self.head_s == self.head_up else max(started, self.head_up) + self.join_s

    def alive_nodes(self, timeout_s: float = 5.0) -> set[str] | None:  # noqa: ARG002 (as the probe's own)
        self.questions += 1
        now = time.monotonic()
        if now < self.head_up:
            return None
        return {address for address in list(self.starts) if self.joined_at(address) <= now}

    def most_joins(self) -> int:
        """Members that came within one second."""
        moments = sorted(map(self.joined_at, self.starts))
        return max(bisect_right(moments, moment + 1) - number for number, moment in enumerate(moments))


class StandInRay:
    """In place of the process that is a node's Ray."""

    cluster: RayCluster

    def __init__(self, ray_node: Any, environment: Any, output: Path, umask: int) -> None:  # noqa: ARG002 (as the process' own)
        self.node, self.output, self.pid, self.process = ray_node, output, 0, None
        if not BEGINS_LATER:
            self.begin(ray_node, environment)

    def begin(self, ray_node: Any, environment: Any) -> None:  # noqa: ARG002 (as the process' own)
        self.node = ray_node
        self.cluster.start(ray_node.address, is_head=ray_node.head_address is None)

    def exit_code(self) -> int | None:
        return None

    def has_started(self) -> bool:
        return self.cluster.joined_at(self.node.address) <= time.monotonic()

    is_complete = has_started

    def phases(self) -> dict[str, float]:
        return {}

    def last_lines(self, count: int = 15) -> list[str]:  # noqa: ARG002 (as the process' own)
        return ["Ray runtime started"] if self.has_started() else ["starting"]

    def stop(self, grace_s: float) -> None:
        """There is nothing to stop."""


@contextmanager
def _stand_ins(cluster: RayCluster, folder: Path) -> Iterator[None]:
    """Replace Ray, and what one machine has once and a cluster has on each node."""
    ray = type("ThisRay", (StandInRay,), {"cluster": cluster})

    def session_dir(base: str | None, tag: str) -> Path:  # noqa: ARG001 (as the real one)
        return Path(tempfile.mkdtemp(dir=folder))

    def probe(*_: Any) -> RayCluster:
        return cluster

    def address(*_: Any, **__: Any) -> str:
        number = int(threading.current_thread().name.rpartition("-")[2])
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    with ExitStack() as stack:
        for target, name, value in (
            (node.ray_process, "RayProcess", ray),
            (node.ports, "reserve_ports", lambda *_: PortBlock(20000, 20149)),
            (node, "node_address", address),
            (node.ray_access, "check_version", lambda: None),
            (node.ray_access, "refuses_strangers", lambda *_: True),
            (node.processes, "kill_ours", lambda *_, **__: []),
            (session, "make_session_dir", session_dir),
            (bootstrap, "GcsProbe", probe),
            (head_watch, "GcsProbe", probe),
            (os, "stat", OPERATIONS.stat),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield


def _agent(number: int, names: tuple[str, ...], plan: Plan, cluster: ClusterPaths) -> AgentContext:
    allocation = Allocation("1", 0, number, names, 4, 8 << 30, 0)
    preflight.check_run_directory(cluster, allocation.node_name)
    made = AgentContext(plan, allocation, cluster, StopRequest(), dict(os.environ), cluster.run.plan)
    made.node.root.mkdir(parents=True, exist_ok=True)
    made.report(context.NodeState.STARTING, "the agent started")
    return made


def _run_worker(number: int, names: tuple[str, ...], plan: Plan, cluster: ClusterPaths) -> None:
    agent = _agent(number, names, plan, cluster)
    its_node = node.Node(agent)
    worker.run_worker(agent, its_node)
    its_node.take_down()
    agent.leave()


def _bytes() -> int:
    """Read and written by this process."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"]) + int(lines["wchar"])


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(nodes: int, ray: RayCluster | None = None, idle_s: float = IDLE_S) -> Row:
    """One job from the start of its agents to their end."""
    plan = Plan.from_yaml(_PLAN % nodes)
    names = tuple(f"n{number:04d}" for number in range(nodes))
    ray = ray or RayCluster(HEAD_S, JOIN_S)
    with tempfile.TemporaryDirectory() as folder:
        run = RunPaths(Path(folder, "run"))
        cluster = ClusterPaths(run.element("1", 0), run)
        for each in (cluster.nodes, run.secrets, run.shards, Path(folder, "sessions")):
            each.mkdir(parents=True)
        run.manifest.touch()
        with _stand_ins(ray, Path(folder, "sessions")):
            return _measure(nodes, names, plan, cluster, ray, idle_s)


def _measure(
    nodes: int, names: tuple[str, ...], plan: Plan, cluster: ClusterPaths, ray: RayCluster, idle_s: float
) -> Row:
    OPERATIONS.root = str(cluster.run.root)
    OPERATIONS.take()
    began, bytes_before = time.monotonic(), _bytes()
    threads = [
        threading.Thread(target=_run_worker, args=(number, names, plan, cluster), name=f"node-{number}", daemon=True)
        for number in range(1, nodes)
    ]
    threading.current_thread().name = "head-0"
    agent = _agent(0, names, plan, cluster)
    its_head = head.Head(agent, node.Node(agent), [])
    its_head.heartbeat.start()
    head.make_credentials(cluster, tls=None)
    for thread in threads:
        thread.start()
    its_head.bootstrap.start()
    outcome = its_head.bootstrap.wait()
    joined_s = time.monotonic() - began
    of_head, of_nodes = OPERATIONS.take()
    questions, read = ray.questions, _bytes() - bytes_before
    if outcome is not None or len(its_head.bootstrap.joined) < nodes:
        raise SystemExit(f"{len(its_head.bootstrap.joined)} of {nodes} nodes joined: {outcome}")
    processor, idle_began = _processor_s(), time.monotonic()
    its_head.bootstrap.watch()
    time.sleep(idle_s)
    idle_took = time.monotonic() - idle_began
    idle, processor = sum(OPERATIONS.take()), _processor_s() - processor
    its_head.bootstrap.end()
    ended = time.monotonic()
    its_head.heartbeat.end(5.0)
    for thread in threads:
        thread.join()
    left_s = time.monotonic() - ended
    OPERATIONS.root = None
    return Row(
        nodes=nodes,
        joined_s=round(joined_s, 2),
        left_s=round(left_s, 2),
        most_joins=ray.most_joins(),
        head_operations=round(of_head / joined_s, 1),
        node_operations=round(of_nodes / joined_s / max(nodes - 1, 1), 2),
        all_operations=round((of_head + of_nodes) / joined_s, 1),
        idle_operations=round(idle / idle_took, 1),
        kib=round(read / nodes / 1024, 1),
        questions=round(questions / joined_s, 2),
        idle_core=round(processor / idle_took / nodes, 5),
    )


def show(rows: Sequence[Row]) -> None:
    """The rows as a table, with the growth from the first to the last."""
    print(
        "| nodes | all joined, s | all left, s | most joins in a second | operations/s of the head | of each node "
        "| of all | of all when idle | KiB of each node | questions to Ray/s | core of each agent when idle |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row.nodes:,}",
            f"{row.joined_s:.1f}",
            f"{row.left_s:.1f}",
            row.most_joins,
            row.head_operations,
            row.node_operations,
            row.all_operations,
            row.idle_operations,
            row.kib,
            row.questions,
            f"{row.idle_core:.2%}",
        ]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        growth = last.joined_s / first.joined_s
        print(f"\n{last.nodes:,} nodes join in {growth:.2f} times the time of {first.nodes}")


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    options = parser.parse_args()
    logging.getLogger("curator_slurm.agent").setLevel(logging.ERROR)
    rows = [measure(nodes) for nodes in options.nodes]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
