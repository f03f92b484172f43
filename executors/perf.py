"""Performance records: one per stage and batch, carried by every task that came out of it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class StagePerfStats:
    """What one stage did for one batch. Field names are NeMo Curator's."""

    stage_name: str
    process_time: float = 0.0
    actor_idle_time: float = 0.0
    input_data_size_mb: float = 0.0
    num_items_processed: int = 0
    custom_metrics: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: StagePerfStats) -> StagePerfStats:
        metrics = dict(self.custom_metrics)
        for name, value in other.custom_metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value
        return StagePerfStats(
            stage_name=self.stage_name,
            process_time=self.process_time + other.process_time,
            actor_idle_time=self.actor_idle_time + other.actor_idle_time,
            input_data_size_mb=self.input_data_size_mb + other.input_data_size_mb,
            num_items_processed=self.num_items_processed + other.num_items_processed,
            custom_metrics=metrics,
        )

    def __radd__(self, other: int | StagePerfStats) -> StagePerfStats:
        """Let ``sum(records)`` work without a start value."""
        if isinstance(other, int):
            if other != 0:
                raise TypeError(f"cannot add {other} to a StagePerfStats")
            return self
        return other + self

    def reset(self) -> None:
        """Back to zero; the stage name stays."""
        self.process_time = self.actor_idle_time = self.input_data_size_mb = 0.0
        self.num_items_processed = 0
        self.custom_metrics = {}

    def to_dict(self) -> dict[str, Any]:
        """All fields, nested metrics included."""
        return dataclasses.asdict(self)

    def items(self) -> list[tuple[str, float | int]]:
        """Pairs of metric and value, custom metrics as ``custom.<name>``; the stage name is left out."""
        flat: dict[str, float | int] = {
            "process_time": self.process_time,
            "actor_idle_time": self.actor_idle_time,
            "input_data_size_mb": self.input_data_size_mb,
            "num_items_processed": self.num_items_processed,
        }
        flat.update({f"custom.{name}": value for name, value in self.custom_metrics.items()})
        return list(flat.items())


class StageClock:
    """Times batches, and the gaps between them, of one worker."""

    def __init__(self, stage_name: str) -> None:
        self._stage_name = stage_name
        self._started = 0.0
        self._last_end: float | None = None

    def start(self) -> None:
        """A batch begins."""
        self._started = time.perf_counter()

    def stop(self, num_items: int) -> StagePerfStats:
        """The batch is over; returns its record."""
        now = time.perf_counter()
        idle = 0.0 if self._last_end is None else max(0.0, self._started - self._last_end)
        self._last_end = now
        return StagePerfStats(
            stage_name=self._stage_name,
            process_time=max(now - self._started, 1e-9),
            actor_idle_time=idle,
            input_data_size_mb=num_items / 2**20,
            num_items_processed=num_items,
        )
