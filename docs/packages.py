"""Writes down what docs/packages.toml says: the picture docs/packages.svg, and the sentence about imports in the
docstring of each package.

    python docs/packages.py           write both
    python docs/packages.py --check   name what is not up to date, and fail
"""

from __future__ import annotations

import html
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TABLE = HERE / "packages.toml"
PICTURE = HERE / "packages.svg"
WIDTH = 119

ROW, CELL, TOP, NAME, ABOUT = 20, 20, 215, 265, 520
"""Height of a row, width of a column, height of the heading, widths of the two columns of text, in pixels."""
BANDS = ("#ffffff", "#eef2f5")
INK, FAINT, DOT = "#22303a", "#c3ced6", "#1f6f8b"


def packages(table: dict[str, Any]) -> list[tuple[str, int]]:
    """Every package with the number of its floor, from top to bottom."""
    return [(package, number) for number, floor in enumerate(table["floors"]) for package in floor]


def imports_sentence(package: str, table: dict[str, Any]) -> str:
    """What the docstring of a package says about its imports."""
    names = [_short(name, package) for name in table[package]["imports"]]
    if not names:
        return "It imports no other package."
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"It may import {listed}."


_SENTENCE = re.compile(r"It (?:may import(?:[^.`]|`[^`]*`)*|imports no other package)\.")


def with_sentence(source: str, sentence: str) -> str:
    """The source of a package's `__init__.py`, its docstring with this sentence about imports, at its end if new."""
    docstring, quotes, rest = source.removeprefix('"""').partition('"""')
    paragraphs = [paragraph.strip("\n") for paragraph in docstring.strip().split("\n\n")]
    for number, paragraph in enumerate(paragraphs):
        text = " ".join(paragraph.split())
        if _SENTENCE.search(text):
            paragraphs[number] = "\n".join(
                textwrap.wrap(_SENTENCE.sub(sentence, text), WIDTH, break_long_words=False, break_on_hyphens=False)
            )
            break
    else:
        paragraphs.append("\n".join(textwrap.wrap(sentence, WIDTH)))
    return '"""' + "\n\n".join(paragraphs) + "\n" + quotes + rest


def picture(table: dict[str, Any]) -> str:
    """The SVG: one row and one column for each package, a dot where the row may import the column."""
    rows = packages(table)
    width, height = NAME + ABOUT + CELL * len(rows) + 10, TOP + ROW * len(rows) + 10
    body = [*_bands(rows, width), *_columns(rows), *_rows(rows, table)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="12" fill="{INK}">',
            f'<rect width="{width}" height="{height}" fill="{BANDS[0]}"/>',
            f'<text x="10" y="{TOP - 30}" font-size="14">A dot: the package of the row may import the package of the '
            "column.</text>",
            f'<text x="10" y="{TOP - 12}" font-size="14">Bands are floors. All dots are right of the grey diagonal: '
            "every import leads to a lower floor.</text>",
            *body,
            "</svg>",
            "",
        ]
    )


def _bands(rows: list[tuple[str, int]], width: int) -> Iterator[str]:
    for index, (_, floor) in enumerate(rows):
        yield f'<rect y="{TOP + ROW * index}" width="{width}" height="{ROW}" fill="{BANDS[floor % 2]}"/>'


def _columns(rows: list[tuple[str, int]]) -> Iterator[str]:
    for index, (package, _) in enumerate(rows):
        x = NAME + ABOUT + CELL * index + CELL // 2
        bottom = TOP + ROW * len(rows)
        yield f'<text transform="translate({x + 4} {TOP - 6}) rotate(-90)">{package}</text>'
        yield f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="{FAINT}" stroke-width="0.5"/>'


def _rows(rows: list[tuple[str, int]], table: dict[str, Any]) -> Iterator[str]:
    column = {package: index for index, (package, _) in enumerate(rows)}
    for index, (package, _) in enumerate(rows):
        y = TOP + ROW * index + 14
        yield f'<text x="10" y="{y}" font-weight="bold">{package}</text>'
        yield f'<text x="{NAME}" y="{y}">{html.escape(table[package]["about"])}</text>'
        for name in [package, *table[package]["imports"]]:
            x = NAME + ABOUT + CELL * column[name] + CELL // 2
            fill = FAINT if name == package else DOT
            yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{fill}"><title>{package}: {name}</title></circle>'


def _short(name: str, package: str) -> str:
    top = package.partition(".")[0]
    if name == top:
        return "the ground floor"
    return f"`{name.removeprefix(f'{top}.')}`"


def main(arguments: list[str]) -> int:
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    wanted = {PICTURE: picture(table)}
    for package, _ in packages(table):
        path = HERE.parent.joinpath(*package.split("."), "__init__.py")
        wanted[path] = with_sentence(path.read_text(encoding="utf-8"), imports_sentence(package, table))
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments == ["--check"]:
            print(f"{path} does not say what docs/packages.toml says")
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return int(arguments == ["--check"] and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
