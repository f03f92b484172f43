"""NeMo Curator's minimal end-to-end example, with one prefix changed in its imports and two stages to run.

python examples/minimal.py     # no cluster needed: a Ray of its own is started on this machine
"""

from curator_slurm.executors.backends.xenna import XennaExecutor
from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.stages.base import ProcessingStage
from curator_slurm.executors.tasks import EmptyTask, Task


class Numbers(ProcessingStage[EmptyTask, Task[list[int]]]):
    """Makes ten tasks out of nothing."""

    name = "numbers"

    def process(self, _: EmptyTask) -> list[Task[list[int]]]:
        return [Task(dataset_name="numbers", data=[number]) for number in range(10)]


class Square(ProcessingStage[Task[list[int]], Task[list[int]]]):
    """Squares the numbers of a task."""

    name = "square"

    def process(self, task: Task[list[int]]) -> Task[list[int]]:
        return Task(dataset_name=task.dataset_name, data=[number**2 for number in task.data])


def main() -> None:
    # Build your pipeline
    pipeline = Pipeline(name="curator_pipeline")
    pipeline.add_stage(Numbers())
    pipeline.add_stage(Square())

    # Run with Xenna (recommended)
    executor = XennaExecutor(config={"execution_mode": "streaming"})
    results = pipeline.run(executor)

    print(f"Completed with {len(results) if results else 0} output tasks")


if __name__ == "__main__":
    main()
