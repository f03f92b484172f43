"""What a report's page says, section by section: sentences, tables, and places for pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import clock, count, duration, several, share, size
from curator_slurm.launcher.failure_classes import Blame, FailureClass
from curator_slurm.launcher.report import page_tables as tables
from curator_slurm.launcher.report.page_tables import Table
from curator_slurm.launcher.report.pictures import Picture
from curator_slurm.launcher.report.report_model import RunReport
from curator_slurm.launcher.states import RunState


@dataclass(frozen=True, kw_only=True)
class PageBlock:
    """A picture with its table, a table alone, or lines to unfold."""

    picture: str = ""
    caption: str = ""
    table: Table | None = None
    folded: bool = False
    """Whether a table alone has to be unfolded; one beside a picture always has."""
    lines: str = ""
    open: bool = False
    """Whether they are unfolded already."""


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """A part of the page."""

    id: str
    title: str
    texts: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    blocks: tuple[PageBlock, ...] = ()


def sections_of(report: RunReport, pictures: dict[str, Picture]) -> list[PageSection]:
    """All sections that there is something to say in."""
    makers = (_outcome, _funnel, _limit, _time, _stages, _nodes, _shards, _failures, _costs, _ran)
    return [section for make in makers if (section := make(report, pictures)) is not None]


def _block(pictures: dict[str, Picture], name: str, caption: str, table: Table | None) -> list[PageBlock]:
    """A picture beside its table; the table alone where there is nothing to draw, nothing where it has no row."""
    shown = table if table is not None and table.rows else None
    if name in pictures:
        return [PageBlock(picture=name, caption=caption, table=shown)]
    return [PageBlock(table=shown)] if shown else []


def _outcome(report: RunReport, _: dict[str, Picture]) -> PageSection:
    status, funnel = report.status, report.funnel
    goes_on = not status.state.is_final and bool(report.attempts)
    texts = ["The run goes on: this page shows how far it had come."] if goes_on else []
    known = status.failure_class not in (None, FailureClass.UNKNOWN)
    if status.failure_class and known and status.failure_class.value != status.state.value:
        blame = f"; to blame: {status.blame}" if status.blame not in (None, Blame.UNKNOWN) else ""
        texts.append(f"Failure class: {status.failure_class}{blame}.")
    if status.next_step:
        texts.append(f"Next: {status.next_step}")
    texts += _published(report)
    if status.shards.total > 1:
        counts = {name: getattr(status.shards, name) for name in _STATES if getattr(status.shards, name)}
        parts = ", ".join(f"{count(number)} {name.replace('_', ' ')}" for name, number in counts.items())
        texts.append(f"Of {several(status.shards.total, 'shard')}: {parts}.")
    elif funnel.attempts > 1 or len(report.attempts) > 1:
        texts.append(f"It took {several(len(report.attempts), 'attempt')}, {several(status.restarts, 'restart')}.")
    points = (*status.warnings, *(f"Note: {note}" for note in status.notes))
    evidence = "\n".join(status.evidence)
    blocks = (PageBlock(caption="The lines that prove it", lines=evidence, open=True),) if evidence else ()
    return PageSection(id="outcome", title="Outcome", texts=tuple(texts), points=points, blocks=blocks)


_STATES = (
    "done", "running", "draining", "restarting", "starting", "pending", "failed", "cancelled", "not_submitted",
    "unknown",
)  # fmt: skip


def _published(report: RunReport) -> Iterator[str]:
    funnel, collected = report.funnel, report.status.collected
    if funnel.files or report.status.state is RunState.COMPLETED:
        rows = f", {several(funnel.rows, 'row')}" if funnel.rows is not None else ""
        where = f", in {report.status.paths.outputs}" if report.status.paths.outputs else ""
        files = several(funnel.files, "file")
        yield f"Published, by the records of its shards: {files}{rows}, {size(funnel.bytes)}{where}."
    if collected is not None:
        yield f"Collected: {several(collected.files, 'file')}, {several(collected.rows, 'row')} in {collected.target}."


def _funnel(report: RunReport, pictures: dict[str, Picture]) -> PageSection | None:
    funnel = report.funnel
    if not funnel.stages:
        if not report.ran.command or not report.attempts:
            return None
        said = "The pipeline is a command of your own: what its stages did is not known."
        return PageSection(id="funnel", title="Where the documents went", texts=(said,))
    texts = [f"Over {several(funnel.shards, 'shard')}."] if report.status.shards.total > 1 else []
    if funnel.attempts > funnel.shards:
        texts.append(
            f"It took {several(funnel.attempts, 'attempt')} at {several(funnel.shards, 'shard')}; "
            f"what was interrupted and "
            "ran again is counted once."
        )
    if funnel.uncounted:
        texts.append(
            f"{several(funnel.uncounted, 'source partition')} finished earlier, without a record of what was counted: "
            "nothing below has them. Published rows do."
        )
    table = tables.funnel_table(funnel.stages)
    blocks = _block(pictures, "funnel", "What each stage kept, dropped and failed", table)
    if funnel.documents:
        blocks.append(PageBlock(table=tables.document_table(funnel.documents), folded=True))
    return PageSection(id="funnel", title="Where the documents went", texts=tuple(texts), blocks=tuple(blocks))


def _limit(report: RunReport, _: dict[str, Picture]) -> PageSection | None:
    if not report.attempts:
        return None
    reason = report.limit.reason
    return PageSection(
        id="limit",
        title="What limited the speed",
        texts=(f"{reason[:1].upper()}{reason[1:]}.",),
        points=report.limit.evidence,
    )


def _time(report: RunReport, pictures: dict[str, Picture]) -> PageSection | None:
    table = tables.time_table(report)
    if not table.rows and not report.attempts:
        return None
    begin = min((span.start for span in report.timeline.spans), default=None)
    caption = f"What each node was at, from {clock(begin)}"
    omitted = report.timeline.omitted
    texts = (f"The newest jobs alone: {count(omitted)} earlier ones are left out.",) if omitted else ()
    blocks = _block(pictures, "timeline", caption, table)
    attempts = tables.attempts_table(report)
    blocks += [PageBlock(table=attempts, folded=len(attempts.rows) > _MOST_UNFOLDED)] if attempts.rows else []
    return PageSection(id="time", title="Where the time went", texts=texts, blocks=tuple(blocks))


_MOST_UNFOLDED = 12
"""Attempts that are shown at once."""
_OVER_TIME = {
    "rate": "Tasks that each stage took in a second",
    "queued": "Tasks that waited for each stage",
    "workers": "Workers of each stage",
    "busy": "Share of the time in which the workers of each stage were at work",
}


def _stages(report: RunReport, pictures: dict[str, Picture]) -> PageSection | None:
    stages = report.measured.stages
    if not stages:
        return None
    blocks: list[PageBlock] = [PageBlock(table=tables.stage_table(stages))]
    for name, caption in _OVER_TIME.items():
        table = tables.moments_table(name, f"{caption}, at some moments", stages)
        blocks += _block(pictures, name, caption, table if name in pictures else None)
    times = tables.task_time_table(stages)
    if times.rows:
        blocks += _block(pictures, "task-times", "How many tasks took how long", times)
    texts = (*_unread(report), *_untold(report, pictures))
    return PageSection(id="stages", title="Stages over time", texts=texts, blocks=tuple(blocks))


def _untold(report: RunReport, pictures: dict[str, Picture]) -> tuple[str, ...]:
    """Why there is no picture of what executors that are not ours do not say."""
    missing = [f"{caption[:1].lower()}{caption[1:]}" for name, caption in _OVER_TIME.items() if name not in pictures]
    if not missing:
        return ()
    by = f" ({report.ran.executor})" if report.ran.executor else ""
    return (f"Not measured, because the executor{by} does not tell: {'; '.join(missing)}.",)


def _unread(report: RunReport) -> tuple[str, ...]:
    omitted = report.measured.omitted
    return (f"{several(omitted, 'file')} with measurements are left out: there are so many.",) if omitted else ()


def _nodes(report: RunReport, pictures: dict[str, Picture]) -> PageSection | None:
    if not report.measured.nodes:
        return None
    blocks = _block(pictures, "nodes", "Each node over time", tables.node_table(report.measured.nodes))
    return PageSection(id="nodes", title="Nodes over time", texts=_unread(report), blocks=tuple(blocks))


def _shards(report: RunReport, pictures: dict[str, Picture]) -> PageSection | None:
    if len(report.shards) < 2:
        return None
    table = tables.shard_table(report.shards, report.made)
    blocks = _block(pictures, "shards", "When each shard was processed: the attempt that counts", table)
    if "sizes" in pictures:
        caption = "Size of the input of a shard, and the time that it took"
        blocks.append(PageBlock(picture="sizes", caption=caption, table=tables.size_table(report.shards)))
    return PageSection(id="shards", title="Shards", blocks=tuple(blocks))


def _failures(report: RunReport, _: dict[str, Picture]) -> PageSection | None:
    groups, omitted = report.failures.groups, report.failures.omitted
    if not groups:
        return None
    texts = [f"{count(omitted)} more records are not shown."] if omitted else []
    rows = tuple(
        (each.stage, each.error[:300], " ".join(each.sources), count(each.tasks), count(each.rows), count(each.shards))
        for each in groups
    )
    header = ("stage", "error", "sources", "tasks", "rows", "shards")
    table = Table(caption="What failed, by cause", header=header, rows=rows, text=3)
    blocks = [PageBlock(table=table)]
    blocks += [
        PageBlock(caption=f"Traceback: {each.stage}, {each.error[:100]}", lines=each.traceback)
        for each in groups
        if each.traceback
    ]
    return PageSection(id="failures", title="What failed", texts=tuple(texts), blocks=tuple(blocks))


def _costs(report: RunReport, _: dict[str, Picture]) -> PageSection | None:
    if not report.attempts:
        return None
    return PageSection(id="costs", title="What it took", blocks=(PageBlock(table=tables.cost_table(report)),))


def _ran(report: RunReport, _: dict[str, Picture]) -> PageSection:
    status, ran = report.status, report.ran
    texts = [f"Submitted by {status.user or '?'} on {status.host or '?'}, from {status.spec_path or '?'}."]
    if ran.version:
        executor = f", with {ran.executor}" if ran.executor else ""
        texts.append(f"curator-slurm {ran.version}{executor}; {status.cluster or 'no'} cluster.")
    if status.nodes:
        texts.append(f"Nodes: {' '.join(status.nodes)}.")
    texts.append(f"Run directory: {status.paths.run_dir}")
    table = tables.settings_table(report)
    return PageSection(
        id="ran", title="What ran", texts=tuple(texts), blocks=(PageBlock(table=table),) if table.rows else ()
    )


def tiles_of(report: RunReport) -> Sequence[tuple[str, str]]:
    """The figures that one looks for first."""
    status, funnel, costs = report.status, report.funnel, report.costs
    took = status.ended - status.started if status.ended and status.started else None
    going = report.made - status.started if status.started and not status.state.is_final else None
    found: list[tuple[str, str]] = []
    if took is not None or going is not None:
        found.append(("took" if took is not None else "running for", duration(took if took is not None else going)))
    if status.shards.total > 1:
        found.append(("shards done", f"{count(status.shards.done)} of {count(status.shards.total)}"))
    items = [stage for stage in funnel.stages if stage.drops_items and stage.items_in]
    if items:
        found.append(("items in", count(items[0].items_in)))
        left = items[-1].items_out
        whole = f" ({share(left, items[0].items_in)})" if status.state.is_final else ""
        found.append(("items left" if whole else "items out so far", f"{count(left)}{whole}"))
    if funnel.rows is not None:
        found.append(("rows published", count(funnel.rows)))
    failed = sum(stage.tasks_failed for stage in funnel.stages)
    rows = sum(stage.rows_failed for stage in funnel.stages)
    if funnel.stages:
        found.append(("failed", f"{several(failed, 'task')}" + (f", {several(rows, 'row')}" if rows else "")))
    if report.attempts:
        hours = costs.usage.node_hours
        found.append(("node-hours", f"{hours:,.1f}" if hours >= 10 else f"{hours:.3f}"))
    if costs.cpu_hours and costs.cpu_hours_busy is not None:
        found.append(("CPUs busy", share(min(costs.cpu_hours_busy, costs.cpu_hours), costs.cpu_hours)))
    if costs.gpu_hours and costs.gpu_hours_busy is not None:
        found.append(("GPUs busy", share(min(costs.gpu_hours_busy, costs.gpu_hours), costs.gpu_hours)))
    return found
