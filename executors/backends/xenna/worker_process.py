"""One of our stages as a stage of the engine, and what runs of it inside a worker process."""

from __future__ import annotations

import collections
import importlib
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.adapter.adapter import NodeInfo, StageAdapter, WorkerMetadata
from curator_slurm.executors.adapter.task_size import size_of
from curator_slurm.executors.backends.xenna.chunks import (
    Chunk,
    ChunkSlices,
    Report,
    batches_per_chunk,
    chosen,
    make_chunks,
)
from curator_slurm.executors.backends.xenna.engine.names import stage_classes
from curator_slurm.executors.backends.xenna.engine.orphans import end_with_ray
from curator_slurm.executors.backends.xenna.engine.patches import AnyGpuName
from curator_slurm.executors.ray_internals import is_worker_process
from curator_slurm.executors.run.payload import KEEP_BELOW, merge_reports

_CLASSES = stage_classes()
_KEPT_SLICES = 4
"""Of how many recent calls a worker keeps the references to chunks that other calls get further tasks of.

Ray forgets the value of a borrowed object after the last reference to it has gone. Where that happens in the thread
that processes, while the engine's other thread reads one more reference to the same chunk, Ray can drop the value that
the new reference has just been given, and `ray.get` of it waits for ever.
"""


class TeardownRequest(Chunk):
    """A chunk that asks the worker to call teardown() and to process nothing more."""

    def __init__(self) -> None:
        super().__init__([])


@dataclass(frozen=True)
class Requests:
    """What the engine is told about a stage."""

    label: str
    cpus: float
    gpus: float
    batch_size: int


@dataclass(frozen=True)
class Place:
    """What a stage must know of the run it is in."""

    is_single_source: bool = False
    """Whether it gets the only initial task and is not the last stage."""
    prepared_nodes: frozenset[str] = frozenset()
    """Nodes that `setup_on_node` has been called on before the engine was started again."""
    shares_chunks: bool = False
    """Whether the engine's queue can cut chunks that hold several batches of the next stage."""


class XennaStage(_CLASSES.Stage):  # type: ignore[misc, name-defined]
    """Hands the engine's calls to the shared adapter."""

    def __init__(
        self, adapter: StageAdapter, requests: Requests, env: Any, next_batch_size: int | None, *, place: Place
    ) -> None:
        self._adapter = adapter
        self._place = place
        self._requests = requests
        self._env = env
        self._next_batch_size = next_batch_size
        self._ended = False
        self._recent_slices: collections.deque[ChunkSlices] = collections.deque(maxlen=_KEPT_SLICES)
        self._gpu_names: AnyGpuName | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> XennaStage:
        return self  # the engine copies its whole specification; a user's stage may not be copyable

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        end_with_ray()
        self._gpu_names = AnyGpuName() if is_worker_process() else None

    @property
    def label(self) -> str:
        """The stage's name."""
        return self._requests.label

    @property
    def required_resources(self) -> Any:
        """CPUs and GPUs of one worker."""
        v1 = importlib.import_module("cosmos_xenna.pipelines.v1")  # the driver has it, workers need it not
        return v1.Resources(cpus=self._requests.cpus, gpus=self._requests.gpus)

    @property
    def stage_batch_size(self) -> int:
        """How many tasks one call gets."""
        return self._requests.batch_size

    @property
    def env_info(self) -> Any:
        """The runtime environment of the workers."""
        return self._env

    def setup_on_node(self, node_info: Any, worker_metadata: Any) -> None:
        """Called once per node."""
        if node_info.node_id not in self._place.prepared_nodes:
            self._adapter.setup_on_node(NodeInfo(node_info.node_id), _metadata(worker_metadata))

    def setup(self, worker_metadata: Any) -> None:
        """Called once per worker, after the engine has looked for its GPUs."""
        if self._gpu_names is not None:
            self._gpu_names.undo()
        self._adapter.setup(_metadata(worker_metadata))

    def process_data(self, in_data: list[Chunk]) -> list[Any]:
        """One batch or several, as chunks; returns a report and the output in chunks for the next stage."""
        if any(isinstance(chunk, TeardownRequest) for chunk in in_data):
            self.destroy()
            return []
        chunk = chosen(in_data)
        self._recent_slices.extend(item for item in in_data if isinstance(item, ChunkSlices))
        tasks, groups = chunk.tasks, chunk.groups
        size = self._adapter.batch_size
        results = [self._adapter.process(tasks[start : start + size]) for start in range(0, len(tasks), size)]
        outputs = [task for done, _ in results for task in done]
        batch = merge_reports([report for _, report in results])
        nbytes = size_of(outputs)
        firsts = self._place.is_single_source and sum(map(size_of, outputs)) < KEEP_BELOW
        kinds = [groups[parent if isinstance(parent, int) else parent[0]] for parent in batch.parents]
        most = batches_per_chunk(nbytes, len(outputs), self._next_batch_size) if self._place.shares_chunks else 1
        chunks = make_chunks(outputs, range(len(outputs)) if firsts else kinds, self._next_batch_size, most)
        sizes = [len(chunk) for chunk in chunks]
        return [Report(sizes, batch, groups, firsts, bool(batch.failures), len(results), nbytes), *chunks]

    def destroy(self) -> None:
        """Called by newer engines before they end a worker; by us through `TeardownRequest` on all of them."""
        if not self._ended:
            self._ended = True
            self._adapter.teardown()


class StageSpec(_CLASSES.StageSpec):  # type: ignore[misc, name-defined]
    """The engine's stage specification, called by the stage's name where the engine would use a class name."""

    def name(self, index: int | None = None) -> str:
        """How the engine calls the stage in its logs."""
        label = str(self.stage.label)
        return label if index is None else f"Stage {index:02d} - {label}"


def _metadata(worker: Any) -> WorkerMetadata:
    return WorkerMetadata(worker.worker_id, worker.allocation)
