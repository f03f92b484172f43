"""The page of a report: one HTML file with everything in it, which loads nothing from anywhere."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from curator_slurm.common.in_words import clock
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.report.compare_runs import Comparison
from curator_slurm.launcher.report.comparison_page import comparison_pictures, comparison_sections, heading_of
from curator_slurm.launcher.report.page_sections import sections_of, tiles_of
from curator_slurm.launcher.report.pictures import Picture, pictures_of
from curator_slurm.launcher.report.report_model import RunReport
from curator_slurm.launcher.visible import visible

_FOLDER = "page"


def page_of_comparison(found: Comparison) -> str:
    """The whole file about two runs."""
    pictures = comparison_pictures(found)
    heading, kicker = heading_of(found)
    values: dict[str, Any] = {
        "title": f"{heading}: two runs compared",
        "kicker": kicker,
        "heading": heading,
        "state": "",
        "state_words": "",
        "message": "",
        "tiles": (),
        "sections": comparison_sections(found, pictures),
        "footer": _footer(found.made),
    }
    return _rendered(values, pictures)


def page_of(report: RunReport) -> str:
    """The whole file about one run."""
    pictures = pictures_of(report)
    status = report.status
    where = "this machine" if status.cluster == "local" else "Slurm"
    job = f", job {status.job_id} ({where})" if status.job_id else ""
    values: dict[str, Any] = {
        "title": f"{status.name}, run {status.run_id}",
        "kicker": f"Report of run {status.run_id}{job}",
        "heading": status.name,
        "state": status.state.value,
        "state_words": status.state.value.replace("_", " "),
        "message": status.message,
        "tiles": tiles_of(report),
        "sections": sections_of(report, pictures),
        "footer": _footer(report.made),
    }
    return _rendered(values, pictures)


def _footer(made: float) -> str:
    return (
        f"Made by curator-slurm {__version__} on {clock(made)}, of files in run directories. "
        "Pictures by Apache ECharts (Apache-2.0)."
    )


def _rendered(values: dict[str, Any], pictures: dict[str, Picture]) -> str:
    text: str = _template().render(
        **_visible(values),
        pictures=_raw(_embedded(_visible(pictures))),
        style=_raw(_read("report.css")),
        script=_raw(_read("report.js")),
        echarts=_raw(_read("echarts/echarts.min.js")),
    )
    return text


def _embedded(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _visible(value: Any) -> Any:
    """Text of others with its control characters shown, at any depth."""
    from dataclasses import fields, is_dataclass, replace

    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_visible(inner) for inner in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _visible(getattr(value, each.name)) for each in fields(value)})
    return value


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath(_FOLDER, *name.split("/")).read_text(encoding="utf-8")


def _raw(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("page.html.j2"))
