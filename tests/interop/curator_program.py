"""A program as NeMo Curator's users write them, without a word of curator-slurm: run as `pipeline.command`.

It starts a client of NeMo Curator's (`--slurm`: the one for Slurm), runs stages of its own on XennaExecutor, and writes
what came out as JSON into the folder that is its argument.
"""

from __future__ import annotations

import argparse
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path

from nemo_curator.backends.xenna import XennaExecutor
from nemo_curator.core.client import RayClient, SlurmRayClient
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.tasks import EmptyTask, Task


@dataclass
class Line(Task[str]):
    """A task of the program's own."""

    data: str = field(default="")

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


class Numbers(ProcessingStage[EmptyTask, Line]):
    """One task for each number."""

    name = "numbers"

    def __init__(self, count: int) -> None:
        self.count = count

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, _: EmptyTask) -> list[Line]:
        return [Line(dataset_name="numbers", data=str(number)) for number in range(self.count)]


class Place(ProcessingStage[Line, Line]):
    """Adds the host that it runs on."""

    name = "place"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, task: Line) -> Line:
        task.data = f"{task.data} on {socket.gethostname()}"
        return task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slurm", action="store_true")
    options = parser.parse_args()
    client = SlurmRayClient() if options.slurm else RayClient()
    client.start()
    try:
        pipeline = Pipeline(name="numbers", description="a program of NeMo Curator")
        pipeline.add_stage(Numbers(6))
        pipeline.add_stage(Place())
        results = pipeline.run(XennaExecutor(config={"execution_mode": "streaming"}))
    finally:
        client.stop()
    (options.folder / "lines.json").write_text(json.dumps([task.data for task in results or []]))


if __name__ == "__main__":
    main()
