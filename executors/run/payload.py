"""How payloads travel, and what becomes of several batches that travel together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from curator_slurm.executors.adapter.batch_report import BatchReport, shift

KEEP_BELOW = 32 << 20
"""The driver keeps what the first stage makes of a single initial task, if that is smaller than this."""
_SAMPLE = 16


def merge_reports(reports: list[BatchReport]) -> BatchReport:
    """One report for several batches of one call."""
    if len(reports) == 1:
        return reports[0]
    starts = list(itertools.accumulate((report.tasks_in for report in reports), initial=0))
    parents = [
        parent for report, start in zip(reports, starts, strict=False) for parent in shift(report.parents, start)
    ]
    return BatchReport(
        tasks_in=sum(report.tasks_in for report in reports),
        tasks_out=sum(report.tasks_out for report in reports),
        tasks_filtered=sum(report.tasks_filtered for report in reports),
        items_out=sum(report.items_out for report in reports),
        seconds=sum(report.seconds for report in reports),
        failures=tuple(failure for report in reports for failure in report.failures),
        node=reports[0].node if reports else "",
        kind=next((report.kind for report in reports if report.kind), ""),
        items_in=sum(report.items_in for report in reports),
        items_failed=sum(report.items_failed for report in reports),
        parents=parents,
        failed_inputs=[
            start + position
            for report, start in zip(reports, starts, strict=False)
            for position in report.failed_inputs
        ],
        sources=tuple(entry for report in reports for entry in report.sources),
        blended=tuple(source for report in reports for source in report.blended),
        rows_left_out=tuple(
            (start + position, record)
            for report, start in zip(reports, starts, strict=False)
            for position, record in report.rows_left_out
        ),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        bytes_in=sum(report.bytes_in or 0 for report in reports),
        bytes_out=sum(report.bytes_out or 0 for report in reports),
        samples=tuple(sample for report in reports for sample in report.samples),
        source_work=tuple(entry for report in reports for entry in report.source_work),
        items_of_inputs=tuple(
            count
            for report in reports
            for count in report.items_of_inputs or (report.items_in,) * (report.tasks_in == 1)
        ),
        items_of_outputs=tuple(
            count
            for report in reports
            for count in report.items_of_outputs or (report.items_out,) * (report.tasks_out == 1)
        ),
    )


def split_evenly(tasks: Sequence[Any], parts: int, batch_size: int = 1) -> list[Sequence[Any]]:
    """At most `parts` runs of consecutive tasks of about the same length, of whole batches except the last one."""
    batches = -(-len(tasks) // batch_size)
    parts = min(parts, batches)
    bounds = [min(len(tasks), batches * part // parts * batch_size) for part in range(parts + 1)] if parts else [0]
    return [tasks[start:stop] for start, stop in itertools.pairwise(bounds)]


def is_plain(task: Any) -> bool:
    """Whether nothing in a task can be a view of the object store: such tasks need no copy to outlive it."""
    attributes = dict(vars(task)) if hasattr(task, "__dict__") else {"data": task}
    attributes.pop("_stage_perf", None)  # numbers, whatever the class
    return all(map(_is_plain_value, attributes.values()))


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain_value, value.values()))
    if isinstance(value, (list, tuple)):
        return len(value) <= _SAMPLE and all(map(_is_plain_value, value))
    return value is None or type(value) in (bytes, str, int, float, bool)
