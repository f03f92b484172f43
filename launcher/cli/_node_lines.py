"""Nodes on the live screen of `watch`: a line for each of a few, as wide as the terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.status.node_glances import NodeGlance
from curator_slurm.launcher.visible import visible_line

MOST_LINES = 8
_NAME, _BAR = 12, 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def node_lines(nodes: Sequence[NodeGlance], limit: int, omitted: int = 0, *, blocks: bool = True) -> list[str]:
    """A line for each of a few nodes; of more, the least and the most busy, and the mean of all."""
    if not nodes:
        return []
    shown = list(nodes)
    if len(nodes) > MOST_LINES:
        ordered = sorted(nodes, key=lambda each: each.cpus if each.cpus is not None else -1.0)
        shown = [*ordered[:2], *ordered[-2:]]
    lines = [_line(each, limit, bar if blocks else plain_bar) for each in shown]
    if len(nodes) > len(shown):
        known = [each.cpus for each in nodes if each.cpus is not None]
        mean = f", CPUs {_percent(sum(known) / len(known))} on average" if known else ""
        more = f" (and {omitted} more)" if omitted else ""
        lines.append(
            words.shorten(f"{words.several(len(nodes), 'node')}{more}{mean}; the least and the most busy", limit)
        )
    return lines


def _line(node: NodeGlance, limit: int, bar: Callable[[float | None], str]) -> str:
    """Name and CPUs always; more as there is room."""
    name = words.shorten(visible_line(node.node), _NAME)
    parts = [f"{name:<{_NAME}} CPU {bar(node.cpus)} {_percent(node.cpus):>4}"]
    if node.gpus is not None:
        parts.append(f"GPU {bar(node.gpus)} {_percent(node.gpus):>4}")
    of = f" ({_percent(node.memory_share)})" if node.memory_share is not None else ""
    parts.append(f"mem {words.size(node.memory)}{of}")
    parts.append(f"shm {words.size(node.shm)}")
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) > limit:
            break
        line += f"  {part}"
    return line[:limit]


def bar(value: float | None, width: int = _BAR) -> str:
    """`████▌   `: a share of the width, in eighths of a column."""
    eighths = round(min(max(value or 0.0, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def plain_bar(value: float | None, width: int = _BAR) -> str:
    """`####    `: for terminals that cannot show blocks."""
    return ("#" * round(min(max(value or 0.0, 0.0), 1.0) * width)).ljust(width)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
