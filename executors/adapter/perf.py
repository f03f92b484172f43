"""What a call of a stage cost; every task carries one record for each stage it went through."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class StagePerfStats:
    """One call's record: seconds of work, seconds the worker was idle before it, items it was given."""

    stage_name: str
    process_time: float = 0.0
    actor_idle_time: float = 0.0
    input_data_size_mb: float = 0.0
    num_items_processed: int = 0
    custom_metrics: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: StagePerfStats) -> StagePerfStats:
        names = {*self.custom_metrics, *other.custom_metrics}
        return StagePerfStats(
            self.stage_name,
            self.process_time + other.process_time,
            self.actor_idle_time + other.actor_idle_time,
            self.input_data_size_mb + other.input_data_size_mb,
            self.num_items_processed + other.num_items_processed,
            {name: self.custom_metrics.get(name, 0.0) + other.custom_metrics.get(name, 0.0) for name in names},
        )

    def __radd__(self, other: Any) -> StagePerfStats:
        return self if other == 0 else self.__add__(other)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    def items(self) -> list[tuple[str, float]]:
        """Metric and value pairs; custom metrics as `custom.<name>`."""
        fields = self.to_dict()
        fields.pop("stage_name")
        custom = fields.pop("custom_metrics")
        return [*fields.items(), *((f"custom.{name}", value) for name, value in custom.items())]
