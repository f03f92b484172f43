"""What agents, drivers and nodes wrote about an attempt, read as values: whatever a file lacks is None or empty.

Files of other versions, or cut short by a full disk, must never keep `status` from telling the rest.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from curator_slurm.common.json_fields import moment, number, whole
from curator_slurm.common.measurements import StageCounts
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.files import read_jsonl, read_object
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.states import RunState

Json = Mapping[str, Any]
_MOST_TEXTS = 100_000
"""Nodes of a run, or lines of evidence."""
_State = TypeVar("_State", bound=StrEnum)

MOST_READINGS = 50.0
"""Statuses of nodes in a second that one who follows a run reads, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReport:
    """outcome.json: how an attempt, or the element that made it, ended."""

    state: RunState
    failure_class: FailureClass | None = None
    message: str = ""
    evidence: tuple[str, ...] = ()
    next_step: str = ""
    nodes: tuple[str, ...] = ()
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    outputs: str | None = None
    warnings: tuple[str, ...] = ()
    sources_before: int | None = None
    sources_finished: int | None = None
    """Source partitions, when the attempt began and when it ended."""
    last_finished: float | None = None
    """When the last of them was."""
    provisional: bool = False
    """The nodes may not have been taken down yet, and Slurm may know better why the job ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What a node's agent has reached, or why it failed."""

    node: str
    role: str = ""
    state: str = ""
    message: str = ""
    failure_class: FailureClass | None = None
    next_step: str = ""
    time: float | None = None
    group: str | None = None
    """Of `resources.groups`."""

    @property
    def failed(self) -> bool:
        return self.state == "failed"


@dataclass(frozen=True, kw_only=True)
class StageName:
    """What a stage is called, and what its tasks hold: first in a report."""

    name: str = "?"
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class StageReport(StageCounts, StageName):
    """Figures of one stage; docs/executors.md says what each means."""

    workers_peak: int | None = None
    expected: int | None = None
    expected_about: int | None = None
    rate: float | None = None
    items_rate: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """Ray's object store, over all nodes, in bytes."""

    used_bytes: int | None = None
    peak_bytes: int | None = None
    capacity_bytes: int | None = None
    spilled_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineReport:
    """A pipeline that a driver has run before its present one: a workflow has several."""

    pipeline: str = "?"
    state: str = ""
    stages: tuple[StageReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """progress.json of a driver."""

    pipeline: str = ""
    earlier: tuple[PipelineReport, ...] = ()
    stages: tuple[StageReport, ...] = ()
    tasks_failed: int | None = None
    rows_failed: int | None = None
    notes: tuple[str, ...] = ()
    """What stages have to say at the end."""
    object_store: StoreReport | None = None
    uncounted: int = 0
    """Source partitions that were finished before this driver began, and that no stage's figures have."""


NO_PROGRESS = ProgressReport()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsReport:
    """events.jsonl of an element: when it began, how far it has come, and which shards' drivers have started."""

    started: float | None = None
    last: str = ""
    driver_started: bool = False


# Reading


def read_outcome(path: Path | str) -> OutcomeReport | None:
    """The outcome in `path`, if it is there."""
    value = read_object(path)
    return None if value is None else outcome_of(value)


def outcome_of(value: Json) -> OutcomeReport:
    """An outcome from the content of its file; a state or class of a later version is unknown."""
    return OutcomeReport(
        state=_member(RunState, value.get("state")) or RunState.UNKNOWN,
        failure_class=failure_class_of(value.get("failure_class")),
        message=_text(value.get("message")),
        evidence=_texts(value.get("evidence")),
        next_step=_text(value.get("next_step")),
        nodes=_texts(value.get("nodes")),
        started=moment(value.get("started")),
        ended=moment(value.get("ended")),
        exit_code=whole(value.get("exit_code")),
        outputs=_text(value.get("outputs")) or None,
        warnings=_texts(value.get("warnings")),
        sources_before=whole(value.get("sources_before")),
        sources_finished=whole(value.get("sources_finished")),
        last_finished=moment(value.get("last_finished")),
        provisional=value.get("provisional") is True,
    )


def read_nodes(cluster: ClusterPaths) -> tuple[NodeReport, ...]:
    """What the nodes of an element wrote last, by name."""
    found = ((paths.name, read_object(paths.status)) for paths in cluster.existing_nodes())
    return tuple(node_of(value, name) for name, value in found if value is not None)


class NodeReader:
    """`read_nodes` for one who looks again and again: many nodes are read less often, so many files in a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[str, tuple[float, tuple[NodeReport, ...]]] = {}

    def __call__(self, cluster: ClusterPaths) -> tuple[NodeReport, ...]:
        at, nodes = self._read.get(cluster.name, (-math.inf, ()))
        if self._clock() - at >= len(nodes) / MOST_READINGS:
            nodes = read_nodes(cluster)
            self._read[cluster.name] = (self._clock(), nodes)
        return nodes


def node_of(value: Json, name: str = "?") -> NodeReport:
    """A node's status from the content of its file."""
    return NodeReport(
        node=_text(value.get("node")) or name,
        role=_text(value.get("role")),
        state=_text(value.get("state")),
        message=_text(value.get("message")),
        failure_class=failure_class_of(value.get("failure_class")),
        next_step=_text(value.get("next_step")),
        time=moment(value.get("time")),
        group=_text(value.get("group")) or None,
    )


def failed_node(nodes: Iterable[NodeReport]) -> NodeReport | None:
    """The node that failed, the head before the others."""
    failed = [node for node in nodes if node.failed]
    return min(failed, key=lambda node: (node.role != "head", node.node), default=None)


def read_progress(path: Path) -> ProgressReport | None:
    """The progress of a driver, if it has written any."""
    value = read_object(path)
    return progress_of(value) if value else None


def progress_of(value: Json) -> ProgressReport:
    """Progress from the content of its file."""
    totals, store, before = value.get("totals"), value.get("object_store"), value.get("before")
    return ProgressReport(
        pipeline=_text(value.get("pipeline")),
        earlier=tuple(
            PipelineReport(
                pipeline=_text(each.get("pipeline")) or "?", state=_text(each.get("state")), stages=_stages(each)
            )
            for each in _objects(value.get("earlier"))
        ),
        stages=_stages(value),
        tasks_failed=whole(totals.get("tasks_failed")) if isinstance(totals, dict) else None,
        rows_failed=whole(totals.get("rows_failed")) if isinstance(totals, dict) else None,
        notes=_texts(value.get("notes")),
        object_store=_figures(StoreReport, store) if isinstance(store, dict) else None,
        uncounted=(whole(before.get("uncounted")) or 0) if isinstance(before, dict) else 0,
    )


def _stages(value: Json) -> tuple[StageReport, ...]:
    return tuple(stage_of(stage) for stage in _objects(value.get("stages")))


def _objects(value: object) -> list[Json]:
    return [each for each in value[:_MOST_TEXTS] if isinstance(each, dict)] if isinstance(value, list) else []


def stage_of(value: Json) -> StageReport:
    """One stage of progress.json."""
    return _figures(StageReport, value)


def read_events(path: Path) -> EventsReport:
    """The events of an element, as far as it has come."""
    events: list[Json] = []
    with contextlib.suppress(OSError):
        events = [event for event in read_jsonl(path) if isinstance(event, dict)]
    if not events:
        return EventsReport()
    return EventsReport(
        started=moment(events[0].get("time")),
        last=_text(events[-1].get("message")),
        driver_started=any(event.get("event") == "driver_started" for event in events),
    )


_Figures = TypeVar("_Figures", StageReport, StoreReport)


def _figures(kind: type[_Figures], value: Json) -> _Figures:
    """The fields that are there and of their type: strings, whole numbers, numbers."""
    readers: Mapping[object, Callable[[object], Any]] = {"str": _text, "int | None": whole, "float | None": number}
    return kind(**{each.name: readers[each.type](value[each.name]) for each in fields(kind) if each.name in value})


def _member(kind: type[_State], value: object) -> _State | None:
    try:
        return kind(str(value)) if value else None
    except ValueError:
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value[:_MOST_TEXTS]) if isinstance(value, list) else ()
