"""Whether a run is going to be ended by its time limit, as far as its rate tells."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.status.reports import StageReport

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
        "pipeline.checkpoint_path keeps what is finished by then"
    )


def _minutes(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes} min"
