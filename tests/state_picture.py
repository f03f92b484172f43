"""The picture docs/states.svg: the states of a run and what leads from one to another, drawn from the table."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from curator_slurm.launcher.states import TRANSITIONS, RunChange, RunState

PICTURE = Path(__file__).parents[1] / "docs" / "states.svg"

WIDTH, HEIGHT, BOX, TALL = 960, 620, 120, 40
INK, FAINT, DASHED, FILL = "#22303a", "#8b9aa5", "5 4", "#eef2f5"
PLACES = {
    RunState.PENDING: (100, 130),
    RunState.STARTING: (350, 130),
    RunState.RUNNING: (600, 130),
    RunState.DRAINING: (850, 130),
    RunState.RESTARTING: (475, 330),
    RunState.COMPLETED: (100, 510),
    RunState.INCOMPLETE: (350, 510),
    RunState.FAILED: (600, 510),
    RunState.CANCELLED: (850, 510),
    RunState.UNKNOWN: (835, 330),
}
"""Middles of the boxes."""
ACTIVE = [state for state in RunState if state.is_active]
FRAME = (20, 30, 920, 350)
"""Around the states of a run that goes on, and one about which nothing is known."""


def picture() -> str:
    """The SVG."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="12" fill="{INK}">',
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            '<rect x="{}" y="{}" width="{}" height="{}" rx="12" fill="none" stroke="{}"/>'.format(*FRAME, FAINT),
            *_ways(),
            *_ends(),
            *_boxes(),
            *_words(),
            "</svg>",
            "",
        ]
    )


def _boxes() -> Iterator[str]:
    for state, (x, y) in PLACES.items():
        stroke = DASHED if state is RunState.UNKNOWN else "none"
        yield (
            f'<rect x="{x - BOX // 2}" y="{y - TALL // 2}" width="{BOX}" height="{TALL}" rx="8" fill="{FILL}" '
            f'stroke="{INK}" stroke-dasharray="{stroke}"/>'
        )
        yield f'<text x="{x}" y="{y + 5}" font-size="14" font-weight="bold" text-anchor="middle">{state}</text>'


def _ways() -> Iterator[str]:
    """Arrows between the states of a run that goes on, and from nothing to the first; dashed are those of arrays."""
    for before, change, after in TRANSITIONS:
        if before is None:
            x, y = PLACES[after]
            yield _arrow((x, 50), (x, 50), (x, y - TALL // 2), str(change), at=(x + 36, 72))
        elif before in ACTIVE and after in ACTIVE:
            dashed = change is RunChange.OTHERS_GO_ON or (before, after) == (RunState.DRAINING, RunState.STARTING)
            yield _curve(PLACES[before], PLACES[after], "" if dashed else str(change), dashed=dashed)


def _curve(start: tuple[int, int], end: tuple[int, int], label: str, *, dashed: bool) -> str:
    """An arrow from box to box, bent to its left, so that two ways between two boxes stay apart."""
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:  # in the row: to the right above, to the left below
        steps, side = abs(x2 - x1) // 250, 1 if x2 > x1 else -1
        straight = side == 1 and steps == 1
        bend = 0 if straight else side * (14 + 38 * (steps - 1) + (12 if side == -1 else 0))
        shift = 0 if straight else TALL // 2
        first = (x1 + side * (BOX // 2 if straight else 30), y1 - side * shift)
        last = (x2 - side * (BOX // 2 if straight else 30), y2 - side * shift)
        middle = ((x1 + x2) // 2, y1 - side * shift - 2 * bend)
        at = (middle[0], y1 - 6 if straight else y1 - side * shift - bend + (-4 if side == 1 else 10))
        return _arrow(first, middle, last, label, at=at, dashed=dashed)
    down = y2 > y1
    row, other = (x1, x2) if down else (x2, x1)
    shift = 14 if down else -14
    end_x = min(max(other + (row - other) // 6 + shift, other - BOX // 2), other + BOX // 2)
    top, bottom = (row + shift, 150), (end_x, 310)
    first, last = (top, bottom) if down else (bottom, top)
    middle = ((top[0] + bottom[0]) // 2, 230)
    height = 0.35 if down else 0.7
    at = (round(top[0] + (bottom[0] - top[0]) * height), round(150 + 160 * height))
    return _arrow(first, middle, last, label, at=at, dashed=dashed)


def _ends() -> Iterator[str]:
    """From any state of a run that goes on to the ends, and what a retry makes of them."""
    _, top, _, tall = FRAME
    for change in RunChange:
        ways = [each for each in TRANSITIONS if each.change is change]
        ends = {each.after for each in ways}
        if len(ends) == 1 and [each.before for each in ways] == ACTIVE:
            x, y = PLACES[ends.pop()]
            yield _arrow((x - 45, top + tall), (x - 45, 440), (x - 45, y - TALL // 2), "", at=(0, 0))
            for number, line in enumerate(change.split(", ")):
                yield f'<text x="{x - 38}" y="{405 + 15 * number}">{line}</text>'
    back: dict[RunState, list[str]] = {}
    for before, change, after in TRANSITIONS:
        if before is not None and before.is_final and after in ACTIVE:
            back.setdefault(before, []).append(f"{change}: {after}")
    for before, labels in back.items():
        x, y = PLACES[before]
        yield _arrow((x + 50, y - TALL // 2), (x + 50, 440), (x + 50, top + tall), "", at=(0, 0))
        for number, label in enumerate(labels):
            yield f'<text x="{x}" y="{y + TALL // 2 + 16 + 15 * number}" text-anchor="middle">{label}</text>'


def _words() -> Iterator[str]:
    lost, seen = RunChange.LOST_SIGHT, RunChange.SEEN_AGAIN
    x, y = PLACES[RunState.UNKNOWN]
    yield f'<text x="{x}" y="{y - 44}" text-anchor="middle">{lost}: from every state</text>'
    yield f'<text x="{x}" y="{y - 28}" text-anchor="middle">{seen}: to every state</text>'
    yield f'<text x="40" y="340" fill="{FAINT}">dashed: of runs of several jobs</text>'
    yield f'<text x="40" y="356" fill="{FAINT}">({RunChange.OTHERS_GO_ON})</text>'


def _arrow(
    start: tuple[int, int],
    middle: tuple[int, int],
    end: tuple[int, int],
    label: str,
    *,
    at: tuple[int, int],
    dashed: bool = False,
) -> str:
    path = f"M{start[0]} {start[1]}Q{middle[0]} {middle[1]} {end[0]} {end[1]}"
    dash, colour = (DASHED, FAINT) if dashed else ("none", INK)
    text = (
        f'<text x="{at[0]}" y="{at[1]}" text-anchor="middle" stroke="#ffffff" stroke-width="4" paint-order="stroke">'
        f"{html.escape(label)}</text>"
        if label
        else ""
    )
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-dasharray="{dash}" marker-end="url(#tip)"/>{text}'
