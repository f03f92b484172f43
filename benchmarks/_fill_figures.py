"""What the timestamps of a run say: how soon all slots worked, how full they were, and where. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WINDOW_S = 1.0
_FULL = 0.9


@dataclass(frozen=True)
class Span:
    """One task in one stage: the worker was ready at `ready`, and worked from `begin` to `end`."""

    stage: int
    node: str
    pid: int
    ready: float
    begin: float
    end: float


def busy(spans: Sequence[Span], slots: int, start: float, stop: float) -> float:
    """The share of the slots at work between two times."""
    if stop <= start:
        return 0.0
    worked = sum(max(0.0, min(span.end, stop) - max(span.begin, start)) for span in spans)
    return worked / (slots * (stop - start))


def ramp(spans: Sequence[Span], slots: int, began: float) -> float | None:
    """Seconds from the start until nine tenths of the slots work for a second; None if they never do."""
    last = max(span.end for span in spans)
    for begin in sorted({span.begin for span in spans}):
        if begin + _WINDOW_S > last:
            return None
        if busy(spans, slots, begin, begin + _WINDOW_S) >= _FULL:
            return begin - began
    return None


def figures(spans: Sequence[Span], limiting: set[int], slots: int, began: float, gpus: bool) -> dict[str, Any]:
    """Of one run. `limiting`: the stages whose work fills the slots."""
    work = [span for span in spans if span.stage in limiting]
    first, last = min(span.begin for span in work), max(span.end for span in work)
    third = (last - first) / 3
    full = ramp(work, slots, began)
    seconds = Counter[str]()
    for span in spans:
        seconds[span.node] += span.end - span.begin  # type: ignore[assignment]
    found: dict[str, Any] = {
        "steady": round(busy(work, slots, first + third, last - third), 3),
        "ramp": None if full is None else round(full, 2),
        "first": round(first - began, 2),
        "nodes": len(seconds),
        "largest_share": round(max(seconds.values()) / sum(seconds.values()), 3),
        "workers": len({span.pid for span in work}),
    }
    if gpus:
        found["gpu_busy"] = round(busy(work, slots, min(span.ready for span in work), last), 3)
    return found
