"""What stages are called in pictures and tables, each by a name of its own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from curator_slurm.launcher.report.report_model import FunnelStage, StageSeries


def stage_labels(stages: Sequence[FunnelStage] | Sequence[StageSeries]) -> list[str]:
    """Their names; with that of the pipeline where there are several, and with a number where a name comes again."""
    several = len({each.pipeline for each in stages}) > 1
    seen: Counter[str] = Counter()
    found = []
    for each in stages:
        label = f"{each.pipeline}: {each.stage}" if several else each.stage
        seen[label] += 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
