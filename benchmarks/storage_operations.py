"""How often a run of many nodes asks its shared storage for something: the agents' own code, in simulated time.

    .venv/bin/python benchmarks/storage_operations.py --nodes 10 100 1000

One head and one worker really run; the other nodes are files that change as time goes on, and the figure of the one
worker counts for all. Counted is every call that opens, lists, looks at, renames or removes something in the run
directory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from curator_slurm.launcher.agent import bootstrap, head, preflight, worker
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.heartbeat import Heartbeat
from curator_slurm.launcher.agent.ray_process import RayProcess
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.attempt_records import NodeState, NodeStatus
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

PHASE_S = 60.0
JOIN_S, LEAVE_S, BEAT_S = 20.0, 5.0, 2.0
_AUDITED = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.utime")
PLAN = """
schema_version: 1
version: simulated
cluster: slurm
spec: {name: simulated, pipeline: {command: "true"}, resources: {nodes: %d}, cluster: {min_nodes: %d}}
spec_dir: /
python: /usr/bin/python3
"""


class Enough(Exception):  # noqa: N818 (not an error)
    """The phase is over."""


class Counter:
    """Counts calls about files below a folder, while it is on."""

    def __init__(self) -> None:
        self.root = "/nowhere"
        self.calls = 0
        self.is_on = False
        self._stat = os.stat
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in _AUDITED and str(arguments[0]).startswith(self.root):
            self.calls += 1

    def stat(self, path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if self.is_on and str(path).startswith(self.root):
            self.calls += 1
        return self._stat(path, *arguments, **options)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For what the simulation itself does."""
        before, self.is_on = self.is_on, False
        try:
            yield
        finally:
            self.is_on = before


COUNTER = Counter()
"""Only one: what listens to Python's audit events cannot be taken away again."""


class Clock(StopRequest):
    """Time that passes only where somebody waits; `events` happen on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.end = self.now + PHASE_S
        self.events: list[tuple[float, Callable[[], None]]] = []

    def wait(self, seconds: float | None = None) -> bool:
        self.now += seconds or 0.0
        with COUNTER.paused():
            for event in [event for event in self.events if event[0] <= self.now]:
                self.events.remove(event)
                event[1]()
        if self.now >= self.end:
            raise Enough
        return False


@dataclass
class Simulation:
    """A job of `nodes` nodes with its files in `root`."""

    root: Path
    nodes: int
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.names = tuple(f"n{number:04d}" for number in range(self.nodes))
        self.run = RunPaths(self.root)
        self.cluster = ClusterPaths(self.run.element("1", 0), self.run)
        for folder in (self.cluster.nodes, self.run.secrets, self.run.shards):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.manifest.touch()
        self.heartbeat = Heartbeat(self.cluster.heartbeat)
        self.heartbeat.send()

    def context(self, node_id: int) -> AgentContext:
        allocation = Allocation("1", 0, node_id, self.names, 1, 1 << 30, 0)
        plan = Plan.from_yaml(PLAN % (self.nodes, max(1, self.nodes - 1)))
        step = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"}
        context = AgentContext(plan, allocation, self.cluster, self.clock, step, self.run.plan)
        context.memory = SimpleNamespace(kills=lambda: 0)  # type: ignore[assignment]
        context.node.root.mkdir(exist_ok=True)
        return context

    def address(self, number: int) -> str:
        return f"10.0.{number // 250}.{number % 250 + 1}"

    def write_nodes(self, state: NodeState, numbers: range) -> None:
        for number in numbers:
            paths = self.cluster.node(self.names[number])
            paths.root.mkdir(exist_ok=True)
            NodeStatus(paths.name, number, "worker", state, address=self.address(number)).write(paths)

    def measure(self, work: Callable[[], object], seconds: float = PHASE_S) -> float:
        """Calls in a second while `work` goes on, until it ends or `seconds` have passed."""
        began, self.clock.end = self.clock.now, self.clock.now + seconds
        COUNTER.root, COUNTER.calls, COUNTER.is_on = str(self.root), 0, True
        try:
            with mock.patch("os.stat", COUNTER.stat):
                work()
        except Enough:
            pass
        finally:
            COUNTER.is_on = False
        return COUNTER.calls / max(self.clock.now - began, 1.0)


def head_phases(simulation: Simulation) -> dict[str, float]:
    """Operations in a second of the head: while nodes join, while the run goes on, while nodes leave."""
    clock, nodes = simulation.clock, simulation.nodes
    context = simulation.context(0)
    ray = SimpleNamespace(exit_code=lambda: None, is_complete=lambda: True)
    node = SimpleNamespace(address=simulation.address(0), ray=ray, session_dir=None, versions=preflight.versions())
    began = clock.now

    def alive(*_: object) -> set[str]:
        """Of Ray: every node but the last one, little by little."""
        share = min(1.0, (clock.now - began) / JOIN_S)
        return {simulation.address(number) for number in range(max(1, int((nodes - 1) * share)))}

    probe = SimpleNamespace(alive_nodes=alive)
    with mock.patch.object(bootstrap, "GcsProbe", return_value=probe), mock.patch.object(head, "cancel_step"):
        agent = head.Head(context, node, [])  # type: ignore[arg-type]
        agent.bootstrap._over = clock  # type: ignore[assignment]
        simulation.write_nodes(NodeState.READY, range(1, nodes - 1))
        found = {"join": simulation.measure(lambda: agent.bootstrap._wait_for_nodes(probe))}  # type: ignore[arg-type]
        found["run"] = simulation.measure(lambda: agent.bootstrap._watch_nodes("10.0.0.1:1")) + 1 / BEAT_S
        simulation.write_nodes(NodeState.LEFT, range(1, nodes // 2))
        clock.events.append((clock.now + LEAVE_S, lambda: simulation.write_nodes(NodeState.LEFT, range(1, nodes))))
        found["end"] = simulation.measure(agent._end_step)
    return found


def worker_phases(simulation: Simulation) -> dict[str, float]:
    """The same of one worker; all workers come to the end by reading the heartbeat as before."""
    clock = simulation.clock
    ray = SimpleNamespace(exit_code=lambda: None)
    nothing, answered = (lambda *_: None), (lambda: True)
    node = SimpleNamespace(
        prepare=nothing,
        start_ray=nothing,
        note_phases=nothing,
        refuses_strangers=answered,
        ray=ray,
        versions=preflight.versions(),
    )
    context = simulation.context(1)
    ray.output = context.node.ray_output
    ray._first_line = 0
    ray._lines = lambda: RayProcess._lines(ray)  # type: ignore[arg-type]
    ray.has_started = lambda: RayProcess.has_started(ray)  # type: ignore[arg-type]
    ray.output.write_text("starting\n")
    signal = {"address": "10.0.0.1:1", "versions": preflight.versions(), "encrypted": True}
    for number in range(int(3 * PHASE_S / BEAT_S)):
        clock.events.append((clock.now + number * BEAT_S, simulation.heartbeat.send))
    clock.events.append((clock.now + JOIN_S / 2, lambda: simulation.heartbeat.send(cluster=signal)))
    clock.events.append((clock.now + JOIN_S, lambda: ray.output.write_text("Ray runtime started\n") and None))
    join = simulation.measure(lambda: worker.run_worker(context, node), JOIN_S)  # type: ignore[arg-type]
    ray.output.write_text("Ray runtime started\n")
    run = simulation.measure(lambda: worker.run_worker(context, node))  # type: ignore[arg-type]
    return {"join": join, "run": run, "end": run}


def operations(nodes: int) -> dict[str, tuple[float, float]]:
    """Phase -> operations in a second of the head, and of all other nodes together."""
    with tempfile.TemporaryDirectory() as folder, mock.patch("time.monotonic") as monotonic:
        simulation = Simulation(Path(folder, "head"), nodes)
        monotonic.side_effect = lambda: simulation.clock.now
        of_head = head_phases(simulation)
        simulation = Simulation(Path(folder, "worker"), nodes)
        of_worker = worker_phases(simulation)
    return {phase: (of_head[phase], of_worker[phase] * (nodes - 1)) for phase in of_head}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000])
    options = parser.parse_args()
    print("| nodes | while nodes join | while it runs | at the end |\n|---|---|---|---|")
    for nodes in options.nodes:
        cells = [f"{of_head:,.1f} + {others:,.1f}" for of_head, others in operations(nodes).values()]
        print(f"| {nodes:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
