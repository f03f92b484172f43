"""Random stages, and what they mean: a plain loop that back ends are compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator_slurm.executors import ProcessingStage, Resources, Task
from curator_slurm.executors.backend_registry import make_executor


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
        self.resources = Resources(cpus=0.3)

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


STAGES = st.builds(
    Arithmetic,
    name=st.sampled_from(["a", "b", "c"]),
    fan_out=st.integers(1, 3),
    drop=st.sampled_from([0, 2, 3]),
    fail=st.sampled_from([0, 0, 5, 7]),
    batch_size=st.sampled_from([1, 2, 5]),
    whole_batches=st.booleans(),
)


def compare_random_pipelines(backend: str, env: Mapping[str, str], examples: int) -> None:
    """Random stages on a back end, through one connection to the Ray that `env` names: the same tasks come out."""
    import ray

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(stages=st.lists(STAGES, min_size=1, max_size=3), count=st.integers(1, 30), retries=st.integers(0, 1))
    def compare(stages: list[Arithmetic], count: int, retries: int) -> None:
        tasks = [Task("numbers", number) for number in range(count)]
        executor = make_executor(backend, {"on_task_error": "skip", "task_retries": retries})
        outputs = executor.execute(stages, tasks)
        assert sorted((task.task_id, task.data) for task in outputs) == sorted(run_plainly(stages, count))

    before = dict(os.environ)
    os.environ.update(env)
    try:
        ray.init(address=env["RAY_ADDRESS"], log_to_driver=False)
        compare()
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
