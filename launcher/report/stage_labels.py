"""What stages are called in pictures and tables, each by a name of its own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol


class StageOfPipeline(Protocol):
    """Whatever is about a stage: its counts, its series, two runs of it."""

    @property
    def pipeline(self) -> str: ...
    @property
    def stage(self) -> str: ...


def stage_labels(stages: Sequence[StageOfPipeline]) -> list[str]:
    """Their names; with that of the pipeline where several have such a stage, with a number where one has it twice."""
    homes: dict[str, set[str]] = {}
    for each in stages:
        homes.setdefault(each.stage, set()).add(each.pipeline)
    seen: Counter[str] = Counter()
    found = []
    for each in stages:
        label = f"{each.pipeline}: {each.stage}" if len(homes[each.stage]) > 1 else each.stage
        seen[label] += 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
