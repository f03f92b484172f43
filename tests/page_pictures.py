"""A look at a page in a real browser, at several widths and in both colour schemes, and pictures of its parts."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chromium
from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
KEPT = ROOT / "build" / "pages"
"""Where pages and whole pictures of them are kept, to be looked at."""
MOST_BYTES = 1_500_000
"""Of all pictures in the docs together."""
WIDTH = 1000
"""Of a window for the pictures in the docs."""
LOOKS = ((375, "dark"), (375, "light"), (1440, "dark"), (1440, "light"))
_COLOURS = 96
_ROWS = """name => [...document.querySelectorAll(`section#${name} tbody tr`)]
    .map(row => [...row.cells].map(cell => cell.textContent))"""
_TILES = """() => Object.fromEntries(
    [...document.querySelectorAll('.tiles div')].map(tile => [...tile.children].map(part => part.textContent)))"""


@dataclass(frozen=True)
class Looked:
    """What a page shows: its tiles, and of each section the rows of its tables."""

    marks: Mapping[str, int]
    """Of each picture."""
    tiles: Mapping[str, str]
    rows: Mapping[str, list[list[str]]] = field(default_factory=dict)


def look(browser: Any, page: Path, kind: str, pictures: Mapping[str, str] | None = None) -> Looked:
    """Open a page in every way, and keep it; `pictures` for the docs are of these sections, by name.

    Raises:
        AssertionError: it says or asks for something, a picture is empty, it is too wide, or not everybody can read it.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / kind.replace(" ", "-").replace(",", "")
    shutil.copyfile(page, kept.with_suffix(".html"))
    looked = None
    for width, scheme in LOOKS:
        with chromium.opened(browser, page, width, scheme) as (tab, seen):
            tab.screenshot(path=f"{kept}-{width}-{scheme}.png", full_page=True)
            wrong = chromium.wrong_with(tab, seen, page, width)
            assert not wrong, f"{kind}, {width} px, {scheme}: {'; '.join(wrong)}"
            if looked is None:
                sections = tab.evaluate("[...document.querySelectorAll('section')].map(one => one.id)")
                rows = {name: tab.evaluate(_ROWS, name) for name in sections}
                looked = Looked(marks=seen.marks, tiles=tab.evaluate(_TILES), rows=rows)
    assert looked is not None
    if pictures:
        with chromium.opened(browser, page, WIDTH) as (tab, _):
            for name, section in pictures.items():
                write(FOLDER / f"{name}.png", picture(tab, section))
        total = sum(path.stat().st_size for path in FOLDER.glob("*.png"))
        assert total <= MOST_BYTES, f"{total:,} bytes in {FOLDER.relative_to(ROOT)}"
    return looked


def picture(tab: Any, section: str) -> bytes:
    """A section as PNG; `top` is the beginning of the page."""
    if section == "top":
        tab.set_viewport_size({"width": WIDTH, "height": 900})
        return bytes(tab.screenshot())
    place = tab.locator(f"section#{section}")
    place.scroll_into_view_if_needed()
    return bytes(place.screenshot())


def write(path: Path, png: bytes) -> None:
    """The picture with few colours; one that looks the same stays as it is."""
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
