"""What is known of a running job as OpenMetrics text. Pure.

Without timestamps, which node-exporter's textfile collector refuses; docs/measurements.md has the table of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.measurements import NodeSample

Labels = Mapping[str, str]
_PREFIX = "curator_slurm_"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True)
class Family:
    """A metric: its name without the prefix, which ends with its unit if it has one."""

    name: str
    kind: str
    unit: str
    help: str

    @property
    def sample(self) -> str:
        """The name that a value has."""
        return f"{_PREFIX}{self.name}{_SUFFIXES.get(self.kind, '')}"


_SUFFIXES = {"counter": "_total", "info": "_info"}
RUN = Family("run", "info", "", "The run and the job that these figures are of.")
STARTED = Family("started_timestamp_seconds", "gauge", "seconds", "When the agent of the head started.")
UPDATED = Family("updated_timestamp_seconds", "gauge", "seconds", "When this file was written.")
NODES = Family("nodes", "gauge", "", "Nodes of the job.")
OF_STAGES: Mapping[str, Family] = {
    "tasks_in": Family("stage_tasks_in", "counter", "", "Tasks that a stage has taken."),
    "tasks_out": Family("stage_tasks_out", "counter", "", "Tasks that it has put out."),
    "tasks_filtered": Family("stage_tasks_filtered", "counter", "", "Tasks that it has dropped."),
    "tasks_failed": Family("stage_tasks_failed", "counter", "", "Tasks that have failed in it."),
    "items_in": Family("stage_items_in", "counter", "", "Items, as rows of documents, that it has taken."),
    "items_out": Family("stage_items_out", "counter", "", "Items that it has put out."),
    "busy_s": Family("stage_busy_seconds", "counter", "seconds", "Time that its workers were at work on tasks."),
    "expected": Family("stage_tasks_expected", "gauge", "", "Tasks that it will have taken, where that is known."),
    "queued": Family("stage_tasks_queued", "gauge", "", "Tasks that wait for it."),
    "workers": Family("stage_workers", "gauge", "", "Its workers."),
}
"""Key of a stage in progress.json -> its metric."""
OF_STORE: Mapping[str, Family] = {
    "used_bytes": Family("object_store_used_bytes", "gauge", "bytes", "In Ray's object store, over all nodes."),
    "capacity_bytes": Family("object_store_capacity_bytes", "gauge", "bytes", "Size of Ray's object store."),
    "spilled_bytes": Family("object_store_spilled_bytes", "counter", "bytes", "What went from it to disk."),
    "restored_bytes": Family("object_store_restored_bytes", "counter", "bytes", "What came back."),
}
OF_HEAD: Mapping[str, Family] = {
    "cpus_job": Family("head_busy_cpus", "gauge", "cpus", "CPUs that the job keeps busy on the head node."),
    "memory_job": Family("head_memory_bytes", "gauge", "bytes", "Memory of the job on the head node."),
    "shm": Family("head_shm_bytes", "gauge", "bytes", "In /dev/shm of the head node."),
    "disk_free": Family("head_disk_free_bytes", "gauge", "bytes", "Free in the node-local folder of the head node."),
}
GPU_BUSY = Family("head_gpu_busy_ratio", "gauge", "ratio", "Share of the time that a GPU of the head node is busy.")
FAMILIES = (RUN, STARTED, UPDATED, NODES, *OF_STAGES.values(), *OF_STORE.values(), *OF_HEAD.values(), GPU_BUSY)


def metrics_text(
    run: Labels,
    ids: Labels,
    figures: Mapping[Family, float],
    shard: int | None = None,
    progress: Mapping[str, Any] | None = None,
    node: NodeSample | None = None,
) -> str:
    """The whole text: `run` are the labels of the run, of which all other metrics have `ids` alone."""
    found: dict[Family, list[tuple[Labels, float]]] = {family: [] for family in FAMILIES}
    found[RUN].append((run, 1))
    for family, value in figures.items():
        found[family].append((ids, value))
    of_shard = {**ids, "shard": str(shard)}
    for position, stage in enumerate(_stages(progress)):
        labels = {**of_shard, "stage": str(stage.get("name")), "position": str(position)}
        _take(found, OF_STAGES, stage, labels)
    store = progress.get("object_store") if progress else None
    if isinstance(store, Mapping):
        _take(found, OF_STORE, store, ids)
    if node is not None:
        _take(found, OF_HEAD, {key: getattr(node, key) for key in OF_HEAD}, ids)
        found[GPU_BUSY] += [({**ids, "gpu": str(number)}, busy) for number, busy in enumerate(node.gpus or ())]
    return "".join(f"{line}\n" for line in (*_lines(found.items()), "# EOF"))


def _stages(progress: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    stages = progress.get("stages") if progress else None
    return [stage for stage in stages if isinstance(stage, Mapping)] if isinstance(stages, Sequence) else []


def _take(
    found: dict[Family, list[tuple[Labels, float]]],
    families: Mapping[str, Family],
    values: Mapping[str, Any],
    labels: Labels,
) -> None:
    for key, family in families.items():
        value = values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[family].append((labels, value))


def _lines(found: Iterable[tuple[Family, Sequence[tuple[Labels, float]]]]) -> Iterator[str]:
    for family, samples in found:
        if not samples:
            continue
        name = f"{_PREFIX}{family.name}"
        yield f"# TYPE {name} {family.kind}"
        if family.unit:
            yield f"# UNIT {name} {family.unit}"
        yield f"# HELP {name} {family.help}"
        for labels, value in samples:
            inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
            yield f"{family.sample}{{{inside}}} {value!r}"
