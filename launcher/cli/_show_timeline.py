"""The text view of a timeline: one line for each phase, with the seconds since the first and since the one before."""

from __future__ import annotations

from curator_slurm.launcher.cli._show import entry
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.timeline import PhaseView, TimelineView, timeline_of, words
from curator_slurm.launcher.status.views import to_json
from curator_slurm.launcher.visible import visible_line

_MOST_NODES = 20
"""Of more nodes only the first, and the last to reach a phase, are listed."""


def show_timeline(run: Run, shard: int | None, as_json: bool) -> None:
    """Print it."""
    view = timeline_of(run, shard)
    say_json(to_json(view)) if as_json else say("\n".join(timeline_lines(view)))


def timeline_lines(view: TimelineView) -> list[str]:
    """The whole timeline; of many nodes, each phase when its first and its last node reached it."""
    lines = [*entry("Run", f"{view.run_id}  ({view.name})"), *entry("Job", view.element)]
    shown = [*view.phases] if len(view.nodes) <= _MOST_NODES else _ends(view)
    before: dict[str | None, float] = {}
    width = max((len(visible_line(each.node or "")) for each in shown), default=0)
    lines.append(f"{'seconds':>9}  {'after':>7}  {'node':<{max(width, 4)}}  reached")
    for each in shown:
        since = each.time - before.get(each.node, each.time)
        before[each.node] = each.time
        what = words(each.phase) + (f" (shard {each.shard})" if each.shard is not None else "")
        node = visible_line(each.node or "")
        lines.append(f"{each.seconds:9.2f}  {since:+7.2f}  {node:<{max(width, 4)}}  {what}")
    if len(view.nodes) > _MOST_NODES:
        lines.append(f"The first and the last of {len(view.nodes)} nodes; --json has all.")
    return lines


def _ends(view: TimelineView) -> list[PhaseView]:
    last = {each.phase: each for each in view.phases}
    first = {each.phase: each for each in reversed(view.phases)}
    ends = {id(each) for each in (*last.values(), *first.values())}
    return [each for each in view.phases if each.node is None or id(each) in ends]
