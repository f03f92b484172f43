"""Whether the figures of a report agree: with each other, with `status --json`, with the outputs and with its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from page_pictures import Looked

_COUNTS = ("tasks_in", "tasks_out", "tasks_filtered", "tasks_failed", "items_in", "items_out", "rows_failed")
_SHARDS = ("total", "done", "running", "pending", "failed", "cancelled", "not_submitted", "unknown")
"""Of `shards`; how many are done in an hour is another figure at every moment."""


def disagreements(report: Mapping[str, Any], status: Mapping[str, Any], outputs: Path) -> list[str]:
    """Whatever does not add up, in words; `report` and `status` are what `--json` prints of a run that is done."""
    return [*_in_the_funnel(report["funnel"]), *_with_status(report, status), *_with_outputs(report["funnel"], outputs)]


def _in_the_funnel(funnel: Mapping[str, Any]) -> Iterator[str]:
    before: Mapping[str, Any] | None = None
    for stage in funnel["stages"]:
        name = stage["stage"]
        if stage["drops_items"]:
            parts = stage["items_out"] + stage["dropped"] + stage["items_failed"] + stage["rows_failed"]
            if parts != stage["items_in"]:
                yield f"{name} took {stage['items_in']} items, and accounts for {parts}"
        if before is not None and before["pipeline"] == stage["pipeline"]:
            for what in ("tasks", "items"):
                if before[f"{what}_out"] != stage[f"{what}_in"]:
                    yield f"{before['stage']} put out {before[f'{what}_out']} {what}, {name} took {stage[f'{what}_in']}"
        before = stage
    if funnel["uncounted"]:
        yield f"{funnel['uncounted']} partitions are in no figure"


def _with_status(report: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[str]:
    own = {(each["stage"]): [each[name] for name in _COUNTS] for each in report["funnel"]["stages"]}
    for each in status["stages"]:
        theirs = [each[name] for name in _COUNTS]
        if own.get(each["name"]) != theirs:
            yield f"{each['name']}: {own.get(each['name'])} in the report, {theirs} in status"
    for name in ("state", "failure_class", "restarts", *_SHARDS):
        theirs, ours = (each["shards"][name] if name in _SHARDS else each[name] for each in (status, report["status"]))
        if ours != theirs:
            yield f"{name}: {ours} in the report, {theirs} in status"


def _with_outputs(funnel: Mapping[str, Any], outputs: Path) -> Iterator[str]:
    files = [path for path in outputs.rglob("*") if path.is_file() and not path.name.startswith(("_", "."))]
    counted = {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "rows": sum(len(path.read_text().splitlines()) for path in files if path.suffix == ".jsonl"),
    }
    for what, number in counted.items():
        if funnel[what] not in (None, number):
            yield f"{funnel[what]} {what} in the report, {number} in {outputs}"


def not_on_the_page(report: Mapping[str, Any], looked: Looked) -> list[str]:
    """Figures of the funnel that the page shows in another way, or not."""
    stages = report["funnel"]["stages"]
    homes = {(each["pipeline"], each["stage"]) for each in stages}
    several = Counter(stage for _, stage in homes)
    shown = {row[0]: row[1:] for row in looked.rows.get("funnel", [])}
    wrong = []
    for each in stages:
        name = f"{each['pipeline']}: {each['stage']}" if several[each["stage"]] > 1 else each["stage"]
        figures = [f"{each[key]:,}" for key in ("tasks_in", "tasks_out", "items_in", "items_out")]
        if shown.get(name, [])[:4] != figures:
            wrong.append(f"{name}: {figures}, the page has {shown.get(name)}")
    rows = report["funnel"]["rows"]
    if rows is not None and looked.tiles.get("rows published") != f"{rows:,}":
        wrong.append(f"{rows:,} rows published, the page has {looked.tiles}")
    return wrong
