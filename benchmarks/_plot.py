"""Bars as a picture for the docs, without any package; its colours are legible on light and dark pages."""

from __future__ import annotations

import re
from html import escape

COLOURS = ("#888888", "#1f77b4", "#9ecae1", "#2ca02c", "#98df8a", "#d95f02", "#fdbe85", "#7570b3")
_WIDTH, _LABEL, _BAR, _GAP = 760, 210, 14, 26

Rows = dict[str, dict[str, float]]
"""Group -> bar -> value."""


def rows_of(table: str, group: str, bar: str, column: str) -> Rows:
    """The numbers in one column of a Markdown table; cells without a number are left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if not cells:
        return {}
    positions = [cells[0].index(name) for name in (group, bar, column)]
    rows: Rows = {}
    for entry in cells[2:]:
        of_group, of_bar, value = (entry[position] for position in positions)
        if re.fullmatch(r"\d+(\.\d+)?", value):
            rows.setdefault(of_group, {})[of_bar] = float(value)
    return rows


def bars(title: str, rows: Rows) -> str:
    """Groups of horizontal bars, each with its number, as SVG."""
    names = list(dict.fromkeys(name for group in rows.values() for name in group))
    longest = max((value for group in rows.values() for value in group.values()), default=1.0)
    scale = (_WIDTH - _LABEL - 60) / longest
    parts = [text(0, 16, title, "font-weight:bold")]
    y = 30
    for group, values in rows.items():
        parts.append(text(0, y + 12, group, "font-style:italic"))
        y += 20
        for name, value in values.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(text(12, y + _BAR - 3, name))
            parts.append(
                f'<rect x="{_LABEL}" y="{y}" width="{value * scale:.1f}" height="{_BAR - 2}" fill="{colour}"/>'
            )
            parts.append(text(_LABEL + value * scale + 6, y + _BAR - 3, f"{value:.2f}"))
            y += _BAR + 2
        y += _GAP - 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def text(x: float, y: float, content: str, style: str = "") -> str:
    """A line of text in a grey that can be read on white and on black."""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#777777" style="{style}">{escape(content)}</text>'
