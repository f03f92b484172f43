"""The pipeline of spec.yaml: the files of this machine's Python, a model as an actor stage, and what it found."""

from __future__ import annotations

import importlib.util
import json
import sysconfig
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset

from curator_slurm.executors import DocumentBatch, EmptyTask, FileGroupTask, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.stages import FilePartitioningStage, FilterStage, ParquetWriter

FILES_PER_TASK = 50
KNOWN = {
    ".c": "c", ".css": "css", ".gif": "gif", ".gz": "gzip", ".html": "html", ".js": "javascript", ".json": "json",
    ".onnx": "onnx", ".pdf": "pdf", ".png": "png", ".py": "python", ".pyc": "pythonbytecode", ".rst": "rst",
    ".sh": "shell", ".so": "elf", ".svg": "svg", ".toml": "toml", ".ttf": "ttf", ".woff2": "woff2", ".xml": "xml",
    ".yaml": "yaml", ".zip": "zip",
}  # fmt: skip
"""What files with these endings should be."""


def build(
    output_dir: str,
    files_per_extension: int = 50,
    min_score: float = 0.9,
    cpus: float = 1.0,
    gpus: float = 0.0,
    files: list[str] | None = None,
) -> Classification:
    """`files`, or those of Python and its packages, up to so many with each ending; classified, filtered, written."""
    for package in ("magika", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"this example needs {package}: pip install magika onnxruntime")
    source: Any = (
        FilePartitioningStage(files, files_per_partition=FILES_PER_TASK, file_extensions=[])
        if files
        else FindFiles(files_per_extension)
    )
    return Classification(output_dir, source, min_score, Resources(cpus=cpus, gpus=gpus))


class Classification(Pipeline):
    """The pipeline; at its end it writes content_types.json."""

    def __init__(self, output_dir: str, source: Any, min_score: float, resources: Resources) -> None:
        self.output_dir = Path(output_dir)
        super().__init__(
            name="classification",
            stages=[
                source,
                ReadEnds(),
                ContentClassifier(resources),
                FilterStage(Sure(min_score), columns=["content_score"], name="sure"),
                ParquetWriter(f"{output_dir}/documents"),
            ],
        )

    def run(self, executor: Any = None, *arguments: Any, **options: Any) -> list[Any] | None:
        tasks = super().run(executor, *arguments, **options)
        found = summarize(self.output_dir / "documents")
        (self.output_dir / "content_types.json").write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps(found), flush=True)
        return tasks


class FindFiles(ProcessingStage[EmptyTask, FileGroupTask]):
    """The files of the standard library and of the packages that are installed, up to so many with each ending."""

    name = "find_files"
    resources = Resources(cpus=0.5)

    def __init__(self, per_extension: int) -> None:
        self.per_extension = per_extension

    def process(self, _: EmptyTask) -> list[FileGroupTask]:
        found: dict[str, list[str]] = defaultdict(list)
        for root in dict.fromkeys(sysconfig.get_path(name) for name in ("stdlib", "purelib")):
            for path in sorted(Path(root).rglob("*")):
                chosen = found[path.suffix.lower()]
                if len(chosen) < self.per_extension and path.suffix.lower() in KNOWN and path.is_file():
                    chosen.append(str(path))
        files = [file for _, chosen in sorted(found.items()) for file in chosen]
        groups = [files[start : start + FILES_PER_TASK] for start in range(0, len(files), FILES_PER_TASK)]
        return [FileGroupTask("files", group) for group in groups]


class ReadEnds(ProcessingStage[FileGroupTask, DocumentBatch]):
    """Reads the first and last bytes of each file, as the model takes them; short files are left out."""

    name = "read_ends"
    resources = Resources(cpus=0.5)

    def process(self, task: FileGroupTask) -> DocumentBatch | None:
        from magika_model import BLOCK, SHORTEST, features

        rows = []
        for path in map(Path, task.data):
            size = path.stat().st_size
            if size < SHORTEST:
                continue
            with path.open("rb") as file:
                first = file.read(BLOCK)
                file.seek(max(0, size - BLOCK))
                row = features(first, file.read(BLOCK))
            known = KNOWN.get(path.suffix.lower())
            rows.append({"path": str(path), "bytes": size, "known_type": known, "features": row.tobytes()})
        if not rows:
            return None
        names = {"path": pa.string(), "bytes": pa.int64(), "known_type": pa.string(), "features": pa.binary()}
        table = pa.Table.from_pylist(rows, schema=pa.schema(list(names.items())))
        return DocumentBatch("files", table, _metadata=task._metadata)


class ContentClassifier(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds the columns content_type and content_score; every worker loads the model once, in `setup`."""

    name = "classify_content"

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.model: Any = None

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["features"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["content_type", "content_score"]

    def setup(self, _: Any = None) -> None:
        from magika_model import Model

        self.model = Model(gpu=self.resources.gpus > 0, threads=max(1, round(self.resources.cpus)))

    def process(self, task: DocumentBatch) -> DocumentBatch:
        table = task.to_pyarrow()
        rows = np.stack([np.frombuffer(row, np.int32) for row in table["features"].to_pylist()])
        answers = self.model.classify(rows)
        table = table.drop_columns(["features"])
        table = table.append_column("content_type", pa.array([kind for kind, _ in answers], pa.string()))
        table = table.append_column("content_score", pa.array([score for _, score in answers], pa.float64()))
        return DocumentBatch(task.dataset_name, table, _metadata=task._metadata, _stage_perf=task._stage_perf)


class Sure:
    """Whether the model is sure enough."""

    def __init__(self, min_score: float) -> None:
        self.min_score = min_score

    def __call__(self, document: dict[str, Any]) -> bool:
        return float(document["content_score"]) >= self.min_score


def summarize(folder: Path) -> dict[str, Any]:
    """How many files of which type were kept; and of those whose ending is known, how many are what it says."""
    counts: Counter[str] = Counter()
    known = right = 0
    if folder.exists():
        for batch in pyarrow.dataset.dataset(folder).to_batches(columns=["content_type", "known_type"]):
            found = batch.to_pydict()
            counts.update(found["content_type"])
            pairs = [pair for pair in zip(*found.values(), strict=True) if pair[1] is not None]
            known += len(pairs)
            right += sum(kind == expected for kind, expected in pairs)
    return {
        "files": sum(counts.values()),
        "content_types": dict(counts.most_common()),
        "accuracy": round(right / known, 4) if known else None,
    }
