"""Runs that note in a folder of their own which sources they begin: what was lost, and what was done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_slurm.runs import SMALL, Runs

ROWS = 2
"""Rows of a source, which is a file."""
PIPELINE = '''\
"""Reads one file after the other, and notes each; slowly, until there is a file `quick`."""

import os
import socket
import time

from curator_slurm.executors import Pipeline, ProcessingStage, Resources
from curator_slurm.executors.stages import FilePartitioningStage, JsonlReaderStage, JsonlWriter


SMALL = Resources(cpus=0.25)


class Slowly(ProcessingStage):
    name = "slowly"

    def __init__(self, begun, pause):
        self.begun = begun
        self.pause = pause

    def process(self, task):
        (name,) = task.data
        with open(os.path.join(self.begun, os.path.basename(name)), "a") as note:
            note.write(socket.gethostname() + "\\n")
        time.sleep(0.0 if os.path.exists(os.path.join(self.begun, "quick")) else self.pause)
        return task


def build(files, output, begun, pause=0.4, workers=1):
    slowly = Slowly(begun, pause).with_(resources=SMALL, num_workers=workers)
    others = [FilePartitioningStage(files, files_per_partition=1), JsonlReaderStage(), JsonlWriter(output)]
    partitions, reader, writer = (stage.with_(resources=SMALL, num_workers=workers) for stage in others)
    stages = [partitions, slowly, reader, writer]
    return Pipeline("slow", stages=stages)
'''


@dataclass(frozen=True)
class Noted:
    """A run over so many sources in a folder, each of which takes `pause` seconds of one of `workers`."""

    runs: Runs
    sources: int
    name: str = "slow"
    pause: float = 0.4
    workers: int = 1

    @property
    def notes(self) -> Path:
        return self.runs.folder / f"{self.name}-begun"

    def spec(self, backend: str, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """Its spec, after everything that it needs is there; `sections` take the place of its own."""
        source = self.runs.folder / "in"
        if not source.exists():
            source.mkdir()
            for number in range(self.sources):
                rows = [json.dumps({"number": number * ROWS + row}) + "\n" for row in range(ROWS)]
                (source / f"{number:03}.jsonl").write_text("".join(rows))
        (self.runs.folder / "noted.py").write_text(PIPELINE)
        self.notes.mkdir()
        self.notes.chmod(0o777)
        array = "shards" in sections
        engine, _, mode = backend.partition(" ")
        return {
            "name": self.name,
            "pipeline": {
                "entry": "noted:build",
                "args": {
                    "files": "${shard.files}" if array else "${input.files}",
                    "output": "${output_dir}",
                    "begun": str(self.notes),
                    "pause": self.pause,
                    "workers": self.workers,
                },
            },
            "input": {"paths": ["in/*.jsonl"]},
            "executor": {"backend": engine, **({"config": {"execution_mode": mode}} if mode else {})},
            "resources": {**SMALL, "nodes": 1},
            **sections,
        }

    def begun(self) -> dict[str, int]:
        """How often each source was begun."""
        return {path.name: len(path.read_text().splitlines()) for path in self.notes.glob("*.jsonl")}

    def twice(self) -> int:
        """How often a source was begun again."""
        return sum(count - 1 for count in self.begun().values())

    def rows(self, run: Path) -> Counter[int]:
        """How often each row is in what is published."""
        texts = [path.read_text() for path in (run / "outputs").rglob("*.jsonl")]
        return Counter(json.loads(line)["number"] for text in texts for line in text.splitlines())

    def assert_counted_once(self, run_id: str) -> None:
        """The funnel of the report, the figures of `status` and a plain count of the outputs say the same."""
        done = self.runs.command("report", run_id, "--json")
        assert done.returncode == 0, done.output
        funnel, status = json.loads(done.stdout)["funnel"], self.runs.status(run_id)
        stages = {stage["stage"]: stage for stage in funnel["stages"]}
        rows = sum(self.rows(self.runs.runs_dir / self.name / run_id).values())
        partitions, slowly, reader, writer = stages.values()
        assert partitions["tasks_out"] == slowly["tasks_in"] == reader["tasks_in"] == self.sources, stages
        assert reader["items_out"] == writer["items_in"] == funnel["rows"] == rows == self.sources * ROWS, stages
        assert funnel["uncounted"] == 0
        names = ("tasks_in", "tasks_out", "tasks_filtered", "items_in", "items_out")
        of_status = {stage["name"]: [stage[name] for name in names] for stage in status["stages"]}
        if len(status["stages"]) == len(stages):  # of an array, `status` has shards in their place
            assert of_status == {name: [stage[each] for each in names] for name, stage in stages.items()}

    def lost(self, run: Path) -> int:
        return len(set(range(self.sources * ROWS)) - set(self.rows(run)))

    def doubled(self, run: Path) -> int:
        """Rows that are there more than once, or that nobody has put in."""
        return sum(self.rows(run).values()) - (self.sources * ROWS - self.lost(run))
