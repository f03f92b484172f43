"""The pipeline of spec.yaml: how much information is in a text, measured the hard way."""

from __future__ import annotations

import lzma
import sysconfig
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator_slurm.executors import DocumentBatch, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.stages import FilterStage, ParquetWriter, TextReader


def build(
    output_dir: str, most_files: int = 300, rounds: int = 3, cpus: float = 0.25, max_workers: int = 8
) -> Pipeline:
    """Read, measure, drop what says the same again and again, write."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(str(path) for path in library.glob("*.py") if path.stat().st_size > 1_000)
    files += sorted(str(path) for path in library.glob("encodings/*.py"))
    return Pipeline(
        name="autoscaling",
        stages=[
            TextReader(
                files[:most_files], files_per_partition=2, file_extensions=[".py"], read_kwargs={"errors": "replace"}
            ).with_(resources=Resources(cpus=0.25)),
            MeasureDensity(rounds, Resources(cpus=cpus), max_workers),
            FilterStage(is_dense, columns=["density"], name="dense").with_(resources=Resources(cpus=0.25)),
            ParquetWriter(f"{output_dir}/documents").with_(resources=Resources(cpus=0.25)),
        ],
    )


class MeasureDensity(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds the column density: the share of its bytes that a text keeps under the best compression there is."""

    name = "measure_density"

    def __init__(self, rounds: int, resources: Resources, max_workers: int) -> None:
        self.rounds = rounds
        self.resources = resources
        self.max_workers = max_workers

    def ray_stage_spec(self) -> dict[str, Any]:
        """One worker at first, and at most so many: the pool sizes itself in between."""
        return {"is_actor_stage": True, "min_workers": 1, "max_workers": self.max_workers}

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["density"]

    def process(self, task: DocumentBatch) -> DocumentBatch:
        table = task.to_pyarrow()
        densities = [self.density(text.encode()) for text in table["text"].to_pylist()]
        table = table.append_column("density", pa.array(densities, pa.float64()))
        return DocumentBatch(task.dataset_name, table, _metadata=task._metadata, _stage_perf=task._stage_perf)

    def density(self, text: bytes) -> float:
        """The least over several settings, each tried in full."""
        smallest = len(text)
        for bits in range(self.rounds):
            options = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 0, "pb": bits % 5}]
            smallest = min(smallest, len(lzma.compress(text, lzma.FORMAT_RAW, filters=options)))
        return smallest / max(1, len(text))


def is_dense(document: dict[str, Any]) -> bool:
    """Whether a text is more than one thing said many times."""
    return float(document["density"]) > 0.15
