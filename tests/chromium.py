"""A headless Chromium for tests of pages: what it loads, says, draws, and how accessible it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_WAIT_MS = 60_000
_DRAWN = "document.documentElement.dataset.drawn !== undefined"
_MARKS = """() => {
    const probe = document.body.appendChild(document.createElement('i'));
    const neutral = new Set(['none', 'rgba(0, 0, 0, 0)']);
    for (const name of ['--ink', '--soft', '--line', '--card', '--back']) {
        probe.style.color = `var(${name})`;
        neutral.add(getComputedStyle(probe).color);
    }
    probe.remove();
    const ofLegend = 36, coloured = path => {
        const style = getComputedStyle(path);
        return !neutral.has(style.fill) || !neutral.has(style.stroke);
    };
    return Object.fromEntries([...document.querySelectorAll('.picture')].map(place => {
        const canvas = place.querySelector('canvas'), top = place.getBoundingClientRect().top;
        if (canvas) {
            const scale = canvas.height / place.clientHeight, from = Math.round(ofLegend * scale);
            const pixels = canvas.getContext('2d').getImageData(0, from, canvas.width, canvas.height - from).data;
            return [place.id, pixels.reduce((sum, value, at) => sum + (at % 4 === 3 && value > 0), 0)];
        }
        const low = path => { const box = path.getBoundingClientRect(); return (box.top + box.bottom) / 2 - top; };
        const paths = [...place.querySelectorAll('svg path')];
        return [place.id, paths.filter(path => coloured(path) && low(path) > ofLegend).length];
    }));
}"""
"""Of each picture the shapes below its legend with a colour of their own, or of one on a canvas all pixels there."""


_CUT_OFF = """() => [...document.querySelectorAll('.picture')].flatMap(place => {
    const whole = place.getBoundingClientRect();
    return [...place.querySelectorAll('svg text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.top - whole.top > 36 && (box.left < whole.left - 1 || box.right > whole.right + 1);
    }).map(text => `${place.id}: ${text.textContent}`);
})"""
"""Words below the legend, which has pages, that the frame of their picture cuts off."""


@dataclass
class Seen:
    """What came of opening a page: what it said and asked for, marks of each picture, words that are cut off."""

    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    wide: int = 0
    cut_off: list[str] = field(default_factory=list)


def need_chromium() -> str:
    """The program; a test without one is skipped, except where CI has to have it."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    try:
        import axe_playwright_python  # noqa: F401
        import playwright  # noqa: F401
    except ImportError:
        found = None
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium, or no playwright: make packages venv")
        pytest.skip("needs Chromium and playwright: make packages venv")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A browser of playwright's, which brings none of its own."""
    program = need_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


@contextmanager
def opened(browser: Any, page: Path, width: int, scheme: str = "light") -> Iterator[tuple[Any, Seen]]:
    """The page in a window of this width, drawn, and what it has said meanwhile."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    seen = Seen()
    try:
        tab = context.new_page()
        tab.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: seen.said.append(str(error)))
        tab.on("request", lambda request: seen.asked_for.append(request.url))
        tab.goto(page.as_uri(), timeout=_WAIT_MS)
        tab.wait_for_function(_DRAWN, timeout=_WAIT_MS)
        seen.marks = tab.evaluate(_MARKS)
        seen.cut_off = tab.evaluate(_CUT_OFF)
        seen.wide = tab.evaluate("document.documentElement.scrollWidth")
        yield tab, seen
    finally:
        context.close()


def wrong_with(tab: Any, seen: Seen, page: Path, width: int) -> list[str]:
    """What nobody should find on a page that was opened in a window of this width."""
    return [
        *seen.said,
        *(f"asks for {url}" for url in seen.asked_for if url != page.as_uri()),
        *(f"{name} is empty" for name, count in seen.marks.items() if not count),
        *(f"cut off in {words}" for words in seen.cut_off),
        *([f"{seen.wide} wide at {width}"] if seen.wide > width else []),
        *findings_of_axe(tab),
    ]


def findings_of_axe(tab: Any) -> list[str]:
    """Rules of axe-core that are broken seriously, with the first place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")
    ]
