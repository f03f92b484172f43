"""One timeline of what happened to a run: the events of all its attempts, and its submissions.

Within a file events keep their order, whatever the clock of a node does meanwhile; files are merged by time.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.json_fields import moment, whole
from curator_slurm.launcher.files import read_jsonl
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.status.attempt_files import attempt_names

SUBMITTED = "submitted"
_LONGEST = 4000


@dataclass(frozen=True, kw_only=True)
class EventView:
    """Something that happened; `attempt` is the job and its start, none of a submission."""

    time: float
    seconds: float
    """Since the first of all."""
    attempt: str | None
    event: str
    node: str | None
    shard: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class EventsView:
    """What `status --events --json` prints."""

    schema: int = 1
    run_id: str
    name: str
    events: tuple[EventView, ...]


_Event = tuple[float, str | None, dict[str, Any]]


def events_of(run: Run, shard: int | None = None) -> EventsView:
    """All events, in order; with `shard` those of its attempts, without those of other shards."""
    elements = run.paths.existing_elements()
    if shard is not None:
        names = set(attempt_names(run.paths, shard))
        elements = [element for element in elements if element.name in names]
    of_elements = [_of_element(element, shard) for element in elements]
    found = list(heapq.merge(_of_submissions(run), *of_elements, key=lambda each: each[0]))
    first = found[0][0] if found else 0.0
    return EventsView(
        run_id=run.run_id, name=run.name, events=tuple(_view(at, attempt, value, first) for at, attempt, value in found)
    )


def _view(at: float, attempt: str | None, value: dict[str, Any], first: float) -> EventView:
    node = value.get("node")
    return EventView(
        time=at,
        seconds=round(at - first, 3),
        attempt=attempt,
        event=str(value.get("event") or "?"),
        node=None if node is None else str(node),
        shard=whole(value.get("shard")),
        message=str(value.get("message") or json.dumps(value))[:_LONGEST],
    )


def _of_submissions(run: Run) -> Iterator[_Event]:
    last = 0.0
    for submission in read_submissions(run.paths):
        record = submission.record
        if record.job_id is not None and record.submitted is not None:
            last = max(last, record.submitted)
            yield last, None, {"event": SUBMITTED, "message": f"job {record.job_id} was submitted ({record.purpose})"}


def _of_element(element: ClusterPaths, shard: int | None) -> Iterator[_Event]:
    last = 0.0
    for value in read_jsonl(element.events):
        if not isinstance(value, dict) or (at := moment(value.get("time"))) is None:
            continue
        if shard is None or whole(value.get("shard")) in (shard, None):
            last = max(last, at)
            yield last, element.name, value
