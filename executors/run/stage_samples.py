"""What is measured of stages while they run, as lines that are added to one file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from curator_slurm.common.appended_files import append_text
from curator_slurm.common.measurements import StageSample, StoreSample, interval_s, line_of

log = logging.getLogger(__name__)

METRICS_FILE = "CURATOR_SLURM_METRICS"
_MOST_STAGES = 10
"""Of more stages, lines are written more rarely, so that the file grows no faster."""
_COPIED = {each.name for each in fields(StageSample)} - {"time", "pipeline", "stage", "position", "task_seconds"}


class StageSamples:
    """The file of one pipeline's lines."""

    def __init__(self, path: Path, pipeline: str, started: float) -> None:
        self._path = path
        self._pipeline = pipeline
        self._started = started
        self._written = started
        self._stages = 1
        self._broken = False

    @classmethod
    def of_environment(cls, pipeline: str, started: float) -> StageSamples | None:
        """Where the environment names a file."""
        path = os.environ.get(METRICS_FILE)
        return cls(Path(path), pipeline, started) if path else None

    def are_due(self, now: float) -> bool:
        """Whether it is time for the next lines."""
        more = max(1.0, self._stages / _MOST_STAGES)
        return now - self._written >= more * interval_s(now - self._started)

    def write(
        self,
        now: float,
        stages: Sequence[Mapping[str, Any]],
        store: Mapping[str, int] | None,
        histograms: Sequence[Mapping[float, int]] = (),
    ) -> None:
        """A line for each stage and one for the object store, with one write; storage that refuses ends it."""
        self._written, self._stages = now, len(stages)
        lines = []
        for position, stage in enumerate(stages):
            counts = {name: stage[name] for name in _COPIED if stage.get(name) is not None}
            tasks = (
                {f"{seconds:g}": count for seconds, count in sorted(histograms[position].items())}
                if histograms
                else None
            )
            sample = StageSample(
                time=now,
                pipeline=self._pipeline,
                stage=str(stage["name"]),
                position=position,
                task_seconds=tasks,
                **counts,
            )
            lines.append(line_of(sample))
        if store is not None:
            names = {
                "store_used": "used",
                "store_capacity": "capacity",
                "store_spilled": "spilled",
                "store_restored": "restored",
            }
            lines.append(
                line_of(StoreSample(time=now, **{key: store.get(f"{name}_bytes") for key, name in names.items()}))
            )
        self._append("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def _append(self, text: str) -> None:
        if self._broken:
            return
        try:
            append_text(self._path, text)
        except OSError as error:
            self._broken = True
            log.warning("stages are measured no more: %s: %s", self._path, error.strerror)
