"""Attempts in words: a table of them, and what they have cost together."""

from __future__ import annotations

import time
from collections.abc import Sequence

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.status.views import AttemptView, BadNodeView, UsageView

_MOST_BAD = 5
"""Nodes that failed, of which more is said than their number."""
_MOST_NODES = 3
"""Nodes that are named of an attempt; --json names all."""


def attempt_table(attempts: Sequence[AttemptView], limit: int) -> list[str]:
    """A line for each attempt: how it ended, what it had finished then, and where it ran."""
    several_shards = len({each.shard for each in attempts}) > 1
    columns = {
        "ATTEMPT": [each.attempt for each in attempts],
        "NODES": [_nodes(each) for each in attempts],
        "ENDED": [str(each.failure_class or each.state or "no word") for each in attempts],
        "SHARD": [str(each.shard) for each in attempts] if several_shards else [],
        "#": [str(each.number) for each in attempts],
        "TOOK": [_took(each) for each in attempts],
        "SOURCES": [_sources(each) for each in attempts] if any(each.sources_finished for each in attempts) else [],
        "NODE-H": [_hours(each.node_hours) for each in attempts],
        "WASTED": [_hours(each.wasted_node_hours) for each in attempts],
    }
    columns = {header: cells for header, cells in columns.items() if cells}
    for header in ("NODES", "NODE-H", "SOURCES"):
        if words.narrowest_width(columns) > limit:
            columns.pop(header, None)
    cells = [list(line) for line in zip(*columns.values(), strict=True)]
    left = sum(header in columns for header in ("ATTEMPT", "NODES", "ENDED"))
    return words.table(list(columns), cells, limit, left=left)


def usage_words(usage: UsageView) -> str:
    """`3 attempts, 2 restarts, 12.5 node-hours, 0.4 of them wasted`."""
    parts = [words.several(usage.attempts, "attempt")]
    parts += [words.several(usage.restarts, "restart")] if usage.restarts else []
    parts += [f"{_hours(usage.node_hours)} node-hours"] if usage.node_hours else []
    if usage.node_hours and usage.wasted_node_hours is not None:
        parts += [f"{_hours(usage.wasted_node_hours)} of them wasted"]
    return ", ".join(parts)


def _nodes(attempt: AttemptView) -> str:
    names = attempt.nodes
    more = f" +{len(names) - _MOST_NODES}" if len(names) > _MOST_NODES else ""
    return " ".join(names[:_MOST_NODES]) + more or "-"


def _took(attempt: AttemptView) -> str:
    if attempt.started is None or (attempt.ended is None and attempt.state is None):
        return "-"
    return words.duration((attempt.ended or time.time()) - attempt.started)


def _sources(attempt: AttemptView) -> str:
    """How many are finished, and how many of them by this attempt."""
    if attempt.sources_finished is None:
        return "-"
    gained = max(attempt.sources_finished - (attempt.sources_before or 0), 0)
    return f"{words.count(attempt.sources_finished)} (+{words.count(gained)})"


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"


def bad_node_words(nodes: Sequence[BadNodeView]) -> str:
    """A line for each node that failed, for users and administrators."""
    lines = []
    for each in nodes[:_MOST_BAD]:
        often = f"failed {words.several(each.faults, 'time')}" if each.faults > 1 else "failed"
        runs = f" in {words.several(each.runs, 'run')}" if each.runs > 1 else ""
        out = "; a retry does without it" if each.excluded else ""
        message = words.shorten(" ".join(each.message.split()), 100)
        lines.append(f"{each.node} {often}{runs}, last {words.clock(each.last)}{out}: {message}")
    more = len(nodes) - _MOST_BAD
    return "\n".join([*lines, f"and {words.several(more, 'more node')}"] if more > 0 else lines)
