"""Numbers, times and tables in words, for the text views: pure functions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from curator_slurm.common.in_words import are as are
from curator_slurm.common.in_words import clock as clock
from curator_slurm.common.in_words import count as count
from curator_slurm.common.in_words import duration as duration
from curator_slurm.common.in_words import several as several
from curator_slurm.common.in_words import share as share
from curator_slurm.common.in_words import size as size
from curator_slurm.launcher.status.reports import NodeReport, StageReport, StoreReport
from curator_slurm.launcher.visible import visible_line


def day(epoch: float | None, now: float) -> str:
    """A local date in at most eleven columns, as `ls -l` has it: with the time where it is of this year."""
    if epoch is None:
        return "-"
    then = time.localtime(epoch)
    this_year = then.tm_year == time.localtime(now).tm_year
    return time.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d", then)


def failed_in_words(tasks: int | None, rows: int | None) -> str:
    """`2 tasks and 1 row`; nothing where nothing failed."""
    counts = {"task": tasks or 0, "row": rows or 0}
    return " and ".join(several(number, what) for what, number in counts.items() if number)


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` columns, its end cut."""
    return text if len(text) <= limit else text[: max(limit - 3, 1)] + "..."


NARROWEST = 8
"""Columns that the first column of a table keeps."""


def table(header: Sequence[str], lines: Sequence[Sequence[str]], limit: int | None, left: int = 1) -> list[str]:
    """Aligned columns no wider than `limit` (None: as wide as they are); the first `left` are text, the rest numbers.

    The first column gives way where there is not enough room.
    """
    lines = [[visible_line(cell) for cell in row] for row in lines]
    widths = [max(len(row[column]) for row in [header, *lines]) for column in range(len(header))]
    over = sum(widths) + 2 * (len(widths) - 1) - limit if limit is not None else 0
    widths[0] = max(widths[0] - max(over, 0), min(widths[0], NARROWEST))
    rows = []
    for row in [header, *lines]:
        cells = [shorten(row[0], widths[0]), *row[1:]]
        padded = [
            cell.ljust(size) if column < left else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ]
        rows.append("  ".join(padded).rstrip())
    return rows


def narrowest_width(columns: Mapping[str, Sequence[str]]) -> int:
    """Columns that a table of text takes at least, with its first column as narrow as it gets."""
    widths = [max(len(visible_line(cell)) for cell in [header, *cells]) for header, cells in columns.items()]
    widths[0] = min(widths[0], NARROWEST)
    return sum(widths) + 2 * (len(widths) - 1)


def stage_table(stages: Sequence[StageReport], limit: int) -> list[str]:
    """What each stage read, kept, dropped and failed.

    `dropped` are items, documents of a batch, where a stage returns what it takes; where it makes something else, as a
    reader makes documents of files, they are tasks. `kept` is known in the first case alone.
    """
    header = ["stage", "tasks in", "out", "failed", "items out", "dropped", "kept"]
    lines = []
    before: StageReport | None = None
    for stage in stages:
        figures = (stage.tasks_in, stage.tasks_out, stage.tasks_failed, stage.items_out)
        lines.append([stage.name, *map(count, figures), *_dropped_and_kept(stage, before)])
        before = stage
    return table(header, lines, limit) if lines else []


def _dropped_and_kept(stage: StageReport, before: StageReport | None) -> tuple[str, str]:
    taken, given, failed = stage.items_in, stage.items_out, stage.items_failed
    kind = before.kind if before is not None else ""
    same_kind = bool(kind) and (stage.kind == kind or stage.tasks_out == 0)
    if not same_kind or taken is None or given is None:
        return count(stage.tasks_filtered), "-"
    return count(max(taken - given - (failed or 0), 0)), share(given, taken)


def stage_progress(stage: StageReport) -> str:
    """`reader 12/40`, `reader 12/~40` where that is an estimate, `reader 12` where nothing is known; notes follow."""
    notes = ", ".join(stage_notes(stage).values())
    return f"{visible_line(stage.name)} {stage_share(stage)}" + (f" ({notes})" if notes else "")


def stage_share(stage: StageReport) -> str:
    """`12/40`, `12/~40`, or `12`."""
    expected, about = stage.expected, stage.expected_about
    of = f"/{count(expected)}" if expected else f"/~{count(about)}" if about else ""
    return f"{count(stage.tasks_in)}{of}"


def stage_notes(stage: StageReport) -> dict[str, str]:
    """What a stage does at the moment: workers, tasks that wait, rate, time left; and what has failed."""
    workers, queued, failed = stage.workers, stage.queued, stage.tasks_failed
    rate, eta = stage.rate, stage.eta_s
    notes = {
        "workers": several(workers, "worker") if workers else "",
        "waiting": f"{count(queued)} waiting" if queued else "",
        "rate": f"{rate:.1f}/s" if rate is not None and workers else "",
        "left": f"{duration(eta)} left" if eta is not None and eta > 0 else "",
        "failed": f"{count(failed)} failed" if failed else "",
    }
    return {key: note for key, note in notes.items() if note}


def fitting_notes(stage: StageReport, room: int) -> str:
    """As many notes as there is room for, the important ones first to be kept."""
    notes = stage_notes(stage)
    kept: set[str] = set()
    for key in ("failed", "left", "workers", "waiting", "rate"):
        if key in notes and sum(len(notes[one]) + 2 for one in {*kept, key}) - 2 <= room:
            kept.add(key)
    return ", ".join(note for key, note in notes.items() if key in kept)


def nodes(names: Sequence[str], reports: Sequence[NodeReport]) -> str:
    """Names of nodes; of a run with groups, by group."""
    groups = {report.node: report.group for report in reports if report.group is not None}
    found = [
        f"{group}: {' '.join(name for name in names if groups.get(name) == group)}"
        for group in dict.fromkeys(filter(None, map(groups.get, names)))
    ]
    rest = " ".join(name for name in names if name not in groups)
    return "; ".join([*found, *([rest] if rest else [])])


def object_store(usage: StoreReport | None) -> str:
    """`1.2 GiB of 7.0 GiB, at most 3.4 GiB, 0 B spilled to disk`; nothing where nothing is known."""
    if usage is None or usage.used_bytes is None or usage.capacity_bytes is None:
        return ""
    most = f", at most {size(usage.peak_bytes)}" if usage.peak_bytes is not None else ""
    return (
        f"{size(usage.used_bytes)} of {size(usage.capacity_bytes)}{most}, {size(usage.spilled_bytes)} spilled to disk"
    )
