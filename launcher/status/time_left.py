"""Whether a run is going to be ended by its time limit, as far as its rate tells."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.status.reports import StageReport
from curator_slurm.launcher.status.views import AttemptView

_MARGIN = 1.1
"""An estimate that is above the time left by less proves nothing."""
_LEAST_S = 60.0


def too_slow(stages: Sequence[StageReport], now: float, ends_by: float | None) -> str:
    """A warning where the slowest stage needs longer than the job may still run; empty where there is time."""
    needed = max((stage.eta_s for stage in stages if stage.eta_s is not None), default=0.0)
    if ends_by is None or not needed:
        return ""
    left = max(ends_by - now, 0.0)
    if needed < left * _MARGIN + _LEAST_S:
        return ""
    return (
        f"At its present rate the run needs about {_minutes(needed)} more, and its time limit ends it in "
        f"{_minutes(left)}. More nodes or a longer resources.time are for the next attempt; "
        "it goes on with what is finished by then, where the pipeline allows it"
    )


def over_restarts(
    needed: float | None, ends_by: float | None, now: float, attempts: Sequence[AttemptView]
) -> float | None:
    """Seconds to the end of a run that needs so much more work, where its job ends before and it begins again.

    What is left then takes as much longer than the work itself as it has so far: with the times in the queue, of
    starting, and of what was done twice. Before the first restart nobody knows that.
    """
    if needed is None or ends_by is None:
        return needed
    left = max(ends_by - now, 0.0)
    if needed <= left:
        return needed
    return left + (needed - left) * _stretch(attempts, now)


def _stretch(attempts: Sequence[AttemptView], now: float) -> float:
    """Time that has passed since the first start, for each second of useful work."""
    begun = [each.started for each in attempts if each.started is not None]
    useful = 0.0
    for each in attempts:
        hours, wasted = each.node_hours or 0.0, each.wasted_node_hours or 0.0
        took = ((each.ended or now) - each.started) if each.started is not None else 0.0
        useful += took * (1 - wasted / hours) if hours else 0.0
    return max((now - min(begun)) / useful, 1.0) if begun and useful > 0 else 1.0


def _minutes(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes} min"
