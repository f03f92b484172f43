"""The ledger of a run on Ray Data: one small actor that workers report to, because Ray Data has no channel for it.

It counts a batch once, however often Ray Data runs it, and tells a worker how many others have died at what it is
about to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.ray_data.worker_count import DataWorkers

Key = tuple[int, str]
"""Stage, and a digest of the ids of the tasks."""


SUSPECT = "suspect "
"""What the digest of a part begins with that is tried on its own, after its worker has died at the whole."""
CLOSED = -1
"""What `begin` answers where a worker is not to begin: the run drains."""


@dataclass
class LedgerUpdate:
    """What has been reported since the driver asked last."""

    reports: list[tuple[int, BatchReport]] = field(default_factory=list)
    workers: dict[int, int] = field(default_factory=dict)
    dropped: bool = False
    """Whether anything has been dropped since the run began."""


class Ledger:
    """Plain Python, so that it can be tested as such; it runs as an actor."""

    def __init__(self, max_failed: int | None, alive_nodes: Callable[[], set[str]]) -> None:
        self._max_failed = max_failed
        self._alive_nodes = alive_nodes
        self._failed = 0
        self._open: dict[Key, list[str]] = {}
        """Nodes on which workers have begun with these tasks and not ended."""
        self._starting: dict[Key, list[str]] = {}
        self._start_up_deaths: Counter[int] = Counter()
        self._done: set[Key] = set()
        self._update = LedgerUpdate()
        self._nodes: set[tuple[int, str]] = set()
        self._workers = DataWorkers()
        self._closed = CLOSED
        self._dropped = False
        self._actors: dict[str, str] = {}
        """Actors that are ready and have not left -> their nodes."""

    def close(self, stage: int) -> None:
        """Nothing begins any more at this stage and those before it."""
        self._closed = stage

    def is_closed(self, stage: int) -> bool:
        """Whether this stage is to begin nothing any more."""
        return stage <= self._closed

    def drop(self) -> None:
        """A worker has not begun with the rest of what it was given."""
        self._dropped = True

    def begin(self, key: Key, worker: str = "", node_id: str = "") -> int:
        """A worker begins with these tasks; how many have died at them, those aside that went with their nodes.

        CLOSED where the tasks are to be dropped.
        """
        if self.is_closed(key[0]) and key not in self._open and not key[1].startswith(SUSPECT):
            self._dropped = True
            return CLOSED
        self._workers.begin(key[0], key, worker)
        before = self._open.setdefault(key, [])
        deaths = self._deaths(before)
        before.append(node_id)
        return deaths

    def end(self, key: Key, reports: list[BatchReport]) -> bool:
        """The tasks are done; False if the run has failed too often and must end."""
        self._open.pop(key, None)
        self._workers.end(key)
        if key not in self._done:
            self._done.add(key)
            self._update.reports += [(key[0], report) for report in reports]
            self._failed += sum(report.failed_count for report in reports)
        return self._max_failed is None or self._failed <= self._max_failed

    def starting(self, stage: int, worker: str, node_id: str) -> int:
        """A worker calls `setup`; how many workers of the stage have died in a row while starting.

        Ray starts a worker that has died again under the same id.
        """
        self._start_up_deaths[stage] += self._deaths(self._starting.get((stage, worker), []))
        self._starting[(stage, worker)] = [node_id]
        return self._start_up_deaths[stage]

    def started(self, stage: int, worker: str) -> None:
        """The worker is ready."""
        self._starting.pop((stage, worker), None)
        self._start_up_deaths[stage] = 0

    def node_prepared(self, stage: int, node_id: str) -> bool:
        """Whether `setup_on_node` has been claimed for this node; claims it if not."""
        known = (stage, node_id) in self._nodes
        self._nodes.add((stage, node_id))
        return known

    def join(self, stages: list[int], worker: str, node_id: str) -> None:
        """An actor is ready."""
        self._actors[worker] = node_id
        self._workers.join(stages, worker)

    def leave(self, stages: list[int], worker: str) -> None:
        """An actor is done, its `teardown` too."""
        self._actors.pop(worker, None)
        self._workers.leave(stages, worker)

    def actors_left(self) -> int:
        """How many actors have still to leave, on the nodes that there are."""
        alive = self._alive_nodes() if self._actors else set()
        return sum(node in alive for node in self._actors.values())

    def updates(self) -> LedgerUpdate:
        """Everything new, handed over once."""
        update, self._update = self._update, LedgerUpdate()
        update.workers = self._workers.count()
        update.dropped = self._dropped
        return update

    def _deaths(self, nodes: list[str]) -> int:
        alive = self._alive_nodes() if nodes else set()
        return sum(node in alive for node in nodes)


class RemoteLedger:
    """The ledger seen from a worker; the handle travels with the stage."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self, key: Key) -> int:
        import ray

        context = ray.get_runtime_context()
        deaths: int = ray.get(self._actor.begin.remote(key, context.get_worker_id(), context.get_node_id()))
        return deaths

    def is_closed(self, stage: int) -> bool:
        import ray

        closed: bool = ray.get(self._actor.is_closed.remote(stage))
        return closed

    def drop(self) -> None:
        self._actor.drop.remote()

    def starting(self, stage: int, worker: str) -> int:
        import ray

        node_id = ray.get_runtime_context().get_node_id()
        deaths: int = ray.get(self._actor.starting.remote(stage, worker, node_id))
        return deaths

    def started(self, stage: int, worker: str) -> None:
        self._actor.started.remote(stage, worker)

    def end(self, key: Key, reports: list[BatchReport]) -> bool:
        import ray

        go_on: bool = ray.get(self._actor.end.remote(key, reports))
        return go_on

    def join(self, stages: list[int], worker: str) -> None:
        import ray

        self._actor.join.remote(stages, worker, ray.get_runtime_context().get_node_id())

    def leave(self, stages: list[int], worker: str) -> None:
        self._actor.leave.remote(stages, worker)

    def node_prepared(self, stage: int, node_id: str) -> bool:
        import ray

        known: bool = ray.get(self._actor.node_prepared.remote(stage, node_id))
        return known
