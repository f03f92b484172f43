"""Failed tasks and rows, grouped by what went wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.common.json_fields import text, whole
from curator_slurm.launcher.report.report_model import FailureGroup, Failures

MOST_GROUPS = 50
MOST_SOURCES = 5
_MOST_TEXT = 4000
_VARIES = re.compile(r"""0x[0-9a-fA-F]+|[0-9]+|'[^']{1,4000}'|"[^"]{1,4000}"|['"][^'"]{100,}\Z|/[^\s:,;]+""")
"""What differs from failure to failure of one cause: numbers, addresses, quoted text (also cut short), paths."""


@dataclass
class _Group:
    stage: str
    error: str
    tasks: int = 0
    rows: int = 0
    shards: set[int] = field(default_factory=set)
    traceback: str = ""
    sources: dict[str, None] = field(default_factory=dict)


def failures_of(records: Sequence[tuple[int, Mapping[str, Any]]], omitted: int = 0) -> Failures:
    """The groups, the largest first."""
    groups: dict[tuple[str, str], _Group] = {}
    for shard, record in records:
        stage, error = text(record.get("stage")) or "?", (text(record.get("error")) or "?")[:_MOST_TEXT]
        group = groups.setdefault((stage, _VARIES.sub("...", error)), _Group(stage, error))
        rows = whole(record.get("rows"))
        group.tasks += rows is None
        group.rows += rows or 0
        group.shards.add(shard)
        group.traceback = group.traceback or (text(record.get("traceback")) or "")[-_MOST_TEXT:]
        source = text(record.get("file")) or text(record.get("source"))
        if source and len(group.sources) < MOST_SOURCES:
            line = whole(record.get("line"))
            group.sources[f"{source[:_MOST_TEXT]}:{line}" if line is not None else source[:_MOST_TEXT]] = None
    found = sorted(groups.values(), key=lambda group: (-(group.tasks + group.rows), group.stage, group.error))
    return Failures(
        groups=tuple(
            FailureGroup(
                stage=group.stage, error=group.error, tasks=group.tasks, rows=group.rows, shards=len(group.shards),
                traceback=group.traceback, sources=tuple(group.sources),
            )
            for group in found[:MOST_GROUPS]
        ),
        omitted=omitted + sum(group.tasks + group.rows for group in found[MOST_GROUPS:]),
    )  # fmt: skip
