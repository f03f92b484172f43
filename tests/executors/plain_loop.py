"""Random stages, and what they mean: a plain loop that back ends are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors import ProcessingStage, Resources, Task


@dataclass(kw_only=True)
class Arithmetic(ProcessingStage[Any, Any]):
    """Fails for multiples of `fail`, drops multiples of `drop`, else makes `fan_out` numbers of one."""

    name: str
    fan_out: int
    drop: int
    fail: int
    batch_size: int | None
    whole_batches: bool

    def __post_init__(self) -> None:
        self.resources = Resources(cpus=0.25)

    def numbers(self, number: int) -> list[int]:
        if self.fail and number % self.fail == 0:
            raise ValueError(f"{number} is bad")
        if self.drop and number % self.drop == 0:
            return []
        return [number * 3 + offset for offset in range(self.fan_out)]

    def process(self, task: Any) -> Any:
        return [Task(task.dataset_name, number) for number in self.numbers(task.data)]

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [self.process(task) for task in tasks]

    def supports_batch_processing(self) -> bool:
        return self.whole_batches


def run_plainly(stages: Sequence[Arithmetic], count: int) -> list[tuple[str, int]]:
    """(id, number) of every task that comes out."""
    current = [(f"0_{number}", number) for number in range(count)]
    for stage in stages:
        following = []
        for task_id, number in current:
            try:
                results = stage.numbers(number)
            except ValueError:
                continue
            following += [(f"{task_id}_{position}", result) for position, result in enumerate(results)]
        current = following
    return current
