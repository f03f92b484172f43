"""The page of a comparison: sections of tables and pictures. Pure."""

from __future__ import annotations

from curator_slurm.common.in_words import clock, count, duration, size
from curator_slurm.launcher.report.compare_runs import ComparedFigure, Comparison
from curator_slurm.launcher.report.page_sections import PageBlock, PageSection
from curator_slurm.launcher.report.page_tables import Table
from curator_slurm.launcher.report.pictures import Picture
from curator_slurm.launcher.report.stage_labels import stage_labels

_NONE = "-"


def comparison_pictures(found: Comparison) -> dict[str, Picture]:
    """Time and items, both runs beside each other."""
    names = _short_names(found)
    pictures: dict[str, Picture] = {}
    if found.time:
        pictures["time"] = {
            "kind": "bars", "unit": "s", "beside": True, "rows": [each.name for each in found.time],
            "series": [
                {"name": names[0], "values": [each.first or 0 for each in found.time]},
                {"name": names[1], "values": [each.second or 0 for each in found.time]},
            ],
        }  # fmt: skip
    stages = [each for each in found.stages if any(each.items_out)]
    if stages:
        pictures["items"] = {
            "kind": "bars", "unit": "items", "beside": True, "rows": stage_labels(stages),
            "series": [
                {"name": name, "values": [each.items_out[place] or 0 for each in stages]}
                for place, name in enumerate(names)
            ],
        }  # fmt: skip
    return pictures


def _short_names(found: Comparison) -> tuple[str, str]:
    return f"first: {found.run_ids[0]}", f"second: {found.run_ids[1]}"


def comparison_sections(found: Comparison, pictures: dict[str, Picture]) -> list[PageSection]:
    """Figures, settings, stages, time."""
    first, second = _short_names(found)
    sections = [
        PageSection(
            id="figures",
            title="What came of them",
            texts=(f"{first}. {second}.",),
            blocks=(PageBlock(table=_figure_table("Figures of both runs", found.figures)),),
        )
    ]
    rows = tuple((each.key, each.first or "(default)", each.second or "(default)") for each in found.settings)
    said = () if rows else ("No setting differs.",)
    table = Table(caption="Settings that differ", header=("setting", "first", "second"), rows=rows, text=3)
    blocks = (PageBlock(table=table),) if rows else ()
    sections.append(PageSection(id="settings", title="What differs in the plans", texts=said, blocks=blocks))
    if found.stages:
        sections.append(_stage_section(found, pictures))
    if found.time:
        time = PageBlock(
            picture="time",
            caption="Time of all nodes together, by what they were at",
            table=_figure_table("Time of all nodes together", found.time),
        )
        sections.append(PageSection(id="time-spent", title="Where the time went", blocks=(time,)))
    return sections


def _stage_section(found: Comparison, pictures: dict[str, Picture]) -> PageSection:
    rows = tuple(
        (
            label,
            *(_count(value) for value in (*each.items_in, *each.items_out, *each.tasks_failed)),
            *(duration(value) if value is not None else _NONE for value in each.busy_s),
        )
        for label, each in zip(stage_labels(found.stages), found.stages, strict=True)
    )
    pairs = ("items in", "items out", "tasks failed", "workers at work")
    header = ("stage", *(f"{name}, {which}" for name in pairs for which in ("first", "second")))
    table = Table(caption="Stages of both runs", header=header, rows=rows)
    block = PageBlock(table=table)
    if "items" in pictures:
        block = PageBlock(picture="items", caption="Items that each stage put out", table=table)
    return PageSection(id="stages", title="Where the documents went", blocks=(block,))


def _figure_table(caption: str, figures: tuple[ComparedFigure, ...]) -> Table:
    rows = tuple(
        (each.name, _figure(each.first, each.unit), _figure(each.second, each.unit), _change(each)) for each in figures
    )
    return Table(caption=caption, header=("figure", "first", "second", "change"), rows=rows)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return _NONE
    if unit == "s":
        return duration(value)
    if unit == "bytes":
        return size(value)
    if unit == "share":
        return f"{value:.0%}"
    text = f"{value:,.3f}" if unit in ("hours", "kWh") and value < 10 else count(round(value, 1))
    return f"{text} {unit}" if unit == "kWh" else text


def _change(each: ComparedFigure) -> str:
    """`+12%`, or nothing where there is nothing to compare with."""
    if not each.first or each.second is None:
        return ""
    change = each.second / each.first - 1
    return "the same" if abs(change) < 0.0005 else f"{change:+.1%}"


def _count(value: int | None) -> str:
    return _NONE if value is None else count(value)


def heading_of(found: Comparison) -> tuple[str, str]:
    """Title of the page, and the line above its heading."""
    first, second = found.names
    title = first if first == second else f"{first} and {second}"
    return title, f"Two runs compared on {clock(found.made)}"
