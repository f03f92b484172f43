"""When XennaExecutor changes the numbers of workers, and whether a change pays: plain arithmetic on measured times.

cosmos-xenna divides the cluster before it knows how fast the stages are, and looks again after three minutes. Here it
looks again as soon as all stages are measured, and when one is done. A plan is followed only if the run ends earlier
with it, the start of the new workers included: so models that load for minutes stay where they are unless much work
is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH_CALLS = 5
"""Calls after which the speed of a stage counts as known, for the engine, too."""
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 30.0
_LEAST_GAIN = 0.1
"""Workers are ended for no less than this share of the time that is left: what is measured is not exact."""


@dataclass(frozen=True)
class StageFacts:
    """One stage of a run at some moment."""

    workers: int
    """Those that start included."""
    starting: int = 0
    done: bool = False
    calls: int = 0
    task_s: float | None = None
    """Seconds that a worker takes for a task."""
    left: float | None = None
    """Tasks that it has still to do, as far as that can be told."""
    start_s: float = 0.0
    """How long a worker took from its start until it was ready."""
    limit: int | None = None

    def seconds(self, workers: int) -> float | None:
        """What is left for so many workers; None where it is unknown."""
        if self.done or self.left == 0:
            return 0.0
        if self.left is None or self.task_s is None or workers < 1:
            return None
        return self.left * self.task_s / workers


@dataclass(frozen=True)
class Counts:
    """How a plan changes the workers of one stage."""

    added: int = 0
    removed: int = 0


class Pace:
    """When the next plan is due; at the latest `latest_s` after the last one."""

    def __init__(self, latest_s: float) -> None:
        self._latest = latest_s
        self._pause = _PAUSE_S
        self._last: float | None = None
        self._done = 0

    def due(self, stages: Sequence[StageFacts], now: float) -> bool:
        """At the start; then when all stages are measured and none has workers that start, after a pause.

        A stage that is done leaves room for the others: no pause then.
        """
        if self._last is None:
            return self._begin(stages, now)
        done = sum(stage.done for stage in stages)
        since = now - self._last
        known = all(stage.done or (stage.calls >= ENOUGH_CALLS and not stage.starting) for stage in stages)
        due = since >= self._latest or (known and (since >= self._pause or done > self._done))
        return self._begin(stages, now) if due else False

    def judged(self, *, accepted: bool) -> None:
        """What became of the plan: the longer nothing is to change, the rarer the questions."""
        self._pause = _PAUSE_S if accepted else min(2 * self._pause, _LONGEST_PAUSE_S)

    def _begin(self, stages: Sequence[StageFacts], now: float) -> bool:
        self._last = now
        self._done = sum(stage.done for stage in stages)
        return True


def pays(stages: Sequence[StageFacts], changes: Sequence[Counts]) -> bool:
    """Whether the run ends earlier with these changes.

    Workers are not ended where the work that is left is unknown; new ones in free room are welcome then.
    """
    if not any(change.added or change.removed for change in changes):
        return False
    removes = any(change.removed for change in changes)
    before = [stage.seconds(stage.workers) for stage in stages]
    after = [stage.seconds(_workers(stage, change)) for stage, change in zip(stages, changes, strict=True)]
    known_before = [seconds for seconds in before if seconds is not None]
    known_after = [seconds for seconds in after if seconds is not None]
    if len(known_before) < len(stages) or len(known_after) < len(stages):
        return not removes
    wait = max((stage.start_s for stage, change in zip(stages, changes, strict=True) if change.added), default=0.0)
    gain = max(known_before) - max(known_after) - wait
    return gain > (_LEAST_GAIN * max(known_before) if removes else 0.0)


def _workers(stage: StageFacts, change: Counts) -> int:
    wanted = stage.workers + change.added - change.removed
    return wanted if stage.limit is None else min(wanted, max(stage.limit, stage.workers))
