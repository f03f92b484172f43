"""The ledger of a run on Ray Data: one small actor that workers report to, because Ray Data has no channel for it.

It counts a batch once, however often Ray Data runs it, and tells a worker when what it is about to do has killed
others before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curator_slurm.executors.adapter.adapter import BatchReport
from curator_slurm.executors.backends.ray_data.workers import DataWorkers

Key = tuple[int, str]
"""Stage, and the ids of the tasks in one word."""


@dataclass
class News:
    """What has happened since the driver asked last."""

    reports: list[tuple[int, BatchReport]] = field(default_factory=list)
    workers: dict[int, int] = field(default_factory=dict)


class Ledger:
    """Plain Python, so that it can be tested as such; it runs as an actor."""

    def __init__(self, max_failed: int | None) -> None:
        self._max_failed = max_failed
        self._failed = 0
        self._open: dict[Key, int] = {}
        self._done: set[Key] = set()
        self._news = News()
        self._nodes: set[tuple[int, str]] = set()
        self._workers = DataWorkers()

    def begin(self, key: Key, worker: str = "") -> int:
        """A worker starts on these tasks; how many have started and not been heard of again."""
        self._workers.begin(key[0], key, worker)
        before = self._open.get(key, 0)
        self._open[key] = before + 1
        return before

    def end(self, key: Key, reports: list[BatchReport]) -> bool:
        """The tasks are done; False if the run has failed too often and must end."""
        self._open.pop(key, None)
        self._workers.end(key)
        if key not in self._done:
            self._done.add(key)
            self._news.reports += [(key[0], report) for report in reports]
            self._failed += sum(len(report.failures) for report in reports)
        return self._max_failed is None or self._failed <= self._max_failed

    def node_prepared(self, stage: int, node_id: str) -> bool:
        """Whether `setup_on_node` has been claimed for this node; claims it if not."""
        known = (stage, node_id) in self._nodes
        self._nodes.add((stage, node_id))
        return known

    def join(self, stages: list[int], worker: str) -> None:
        """An actor is ready."""
        self._workers.join(stages, worker)

    def leave(self, stages: list[int], worker: str) -> None:
        """An actor is done."""
        self._workers.leave(stages, worker)

    def news(self) -> News:
        """Everything new, handed over once."""
        news, self._news = self._news, News()
        news.workers = self._workers.count()
        return news


class RemoteLedger:
    """The ledger seen from a worker; the handle travels with the stage."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self, key: Key) -> int:
        import ray

        before: int = ray.get(self._actor.begin.remote(key, ray.get_runtime_context().get_worker_id()))
        return before

    def end(self, key: Key, reports: list[BatchReport]) -> bool:
        import ray

        go_on: bool = ray.get(self._actor.end.remote(key, reports))
        return go_on

    def join(self, stages: list[int], worker: str) -> None:
        self._actor.join.remote(stages, worker)

    def leave(self, stages: list[int], worker: str) -> None:
        self._actor.leave.remote(stages, worker)

    def node_prepared(self, stage: int, node_id: str) -> bool:
        import ray

        known: bool = ray.get(self._actor.node_prepared.remote(stage, node_id))
        return known
