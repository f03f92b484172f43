"""The actor that runs a stage; everything in this module happens in the worker process."""

from __future__ import annotations

import os
import time
from typing import Any

import ray

from curator_slurm.executors.adapter.adapter import NodeInfo, StageAdapter, WorkerMetadata
from curator_slurm.executors.adapter.task_size import size_of
from curator_slurm.executors.backends.ray_actor_pool.queue import CallResult, CallSpec
from curator_slurm.executors.run.blame import Identity, identity_of
from curator_slurm.executors.run.payload import merge_reports, split_evenly


class PoolWorker:
    """One worker of one stage. Calls run one after the other, in the process's main thread."""

    def __init__(self, adapter: StageAdapter) -> None:
        self._adapter = adapter

    def __repr__(self) -> str:
        """What Ray shows in front of the worker's log lines, also those of a worker that could not be constructed."""
        return self._adapter.name if hasattr(self, "_adapter") else type(self).__name__

    def prepare_node(self) -> None:
        """`setup_on_node`, in the stage's first worker on its node."""
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        node_id = ray.get_runtime_context().get_node_id()
        self._adapter.setup_on_node(NodeInfo(node_id=node_id), self._metadata())

    def prepare(self) -> float:
        """`setup`; returns the seconds that it took."""
        began = time.perf_counter()
        self._adapter.setup(self._metadata())
        return time.perf_counter() - began

    @staticmethod
    def _metadata() -> WorkerMetadata:
        context = ray.get_runtime_context()
        return WorkerMetadata(worker_id=context.get_worker_id(), allocation=context.get_assigned_resources())

    def run(self, spec: CallSpec, *arguments: list[Any]) -> Any:
        """Run the batches; the first return value is a CallResult, the others are lists of tasks or None."""
        outputs: list[Any] = []
        reports = []
        for batch in spec.batches:
            tasks = [task for index, start, stop in batch for task in arguments[index][start:stop]]
            done, report = self._adapter.process(tasks)
            outputs += done
            reports.append(report)
        parts = split_evenly(outputs, spec.parts)
        result = CallResult(merge_reports(reports), [len(part) for part in parts], [size_of(part) for part in parts])
        return (result, *parts, *[None] * (spec.parts - len(parts)))

    def teardown(self) -> None:
        """The stage's `teardown`."""
        self._adapter.teardown()


def identity(tasks: list[Any], position: int) -> Identity:
    """The identity of one task of a part, for the record of its failure."""
    return identity_of(tasks[position])
