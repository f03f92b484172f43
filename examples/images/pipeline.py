"""The workflow of spec.yaml: draw, decode, filter, drop copies, and write thumbnails and metadata."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset

from curator_slurm.executors import DocumentBatch, EmptyTask, FileGroupTask, Pipeline, ProcessingStage, Resources, Task
from curator_slurm.executors.stages import FilterStage, ParquetWriter

IMAGES_PER_TASK = 10


def build(
    output_dir: str, images: int = 200, min_side: int = 64, min_sharpness: float = 20.0, max_distance: int = 6
) -> Images:
    """A workflow of two pipelines."""
    if importlib.util.find_spec("PIL") is None:
        raise ModuleNotFoundError("this example needs Pillow: pip install pillow")
    return Images(Path(output_dir), images, Usable(min_side, min_sharpness), max_distance)


class Images:
    """First every image for itself; then, when all hashes are known, those that are no copies."""

    def __init__(self, output_dir: Path, images: int, usable: Usable, max_distance: int) -> None:
        self.output_dir = output_dir
        self.images = images
        self.max_distance = max_distance
        self.candidates = output_dir / "candidates"
        self.first = Pipeline(
            "images",
            stages=[
                Numbers(images),
                Draw(str(output_dir / "raw")),
                Inspect(),
                FilterStage(usable, columns=["width", "height", "sharpness"], name="usable"),
                ParquetWriter(str(self.candidates)),
            ],
        )
        self.second = Pipeline(
            "thumbnails",
            stages=[Thumbnails(str(output_dir / "thumbnails")), ParquetWriter(str(output_dir / "metadata"))],
        )

    def run(self, executor: Any) -> list[Any]:
        """Both pipelines; the tasks that wrote metadata."""
        inspected = self.first.run(executor) or []
        table = candidates(self.candidates)
        hashes = np.array([int(value, 16) for value in table["perceptual_hash"].to_pylist()], np.uint64)
        copied = set(copies_of(hashes, self.max_distance))
        kept = table.take([row for row in range(table.num_rows) if row not in copied])
        groups = [kept.slice(start, IMAGES_PER_TASK) for start in range(0, kept.num_rows, IMAGES_PER_TASK)]
        tasks = [DocumentBatch("images", group.combine_chunks()) for group in groups]
        written = (self.second.run(executor, tasks) or []) if tasks else []
        report = {
            "drawn": self.images,
            "decoded": len(inspected),
            "usable": table.num_rows,
            "copies": len(copied),
            "kept": kept.num_rows,
            "formats": dict(Counter(kept["format"].to_pylist())),
        }
        (self.output_dir / "images.json").write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report), flush=True)
        return written


class Numbers(ProcessingStage[EmptyTask, Task[int]]):
    """A task for each image."""

    name = "numbers"
    resources = Resources(cpus=0.25)

    def __init__(self, count: int) -> None:
        self.count = count

    def ray_stage_spec(self) -> dict[str, Any]:
        return {"is_fanout_stage": True}

    def process(self, _: EmptyTask) -> list[Task[int]]:
        return [Task("images", number) for number in range(self.count)]


class Draw(ProcessingStage[Task[int], FileGroupTask]):
    """Writes the image to a file, in place of a download."""

    name = "draw"
    batch_size = IMAGES_PER_TASK
    resources = Resources(cpus=0.5)

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def process(self, task: Task[int]) -> FileGroupTask:
        from drawing import draw

        return FileGroupTask("images", [str(draw(task.data, Path(self.folder)))])


class Inspect(ProcessingStage[FileGroupTask, DocumentBatch]):
    """Decodes the image and measures it; the pixels end here. A file that is no image is a failed task."""

    name = "inspect"
    batch_size = IMAGES_PER_TASK
    resources = Resources(cpus=0.5)

    def process(self, task: FileGroupTask) -> DocumentBatch:
        from looks import perceptual_hash, sharpness
        from PIL import Image

        (path,) = task.data
        with Image.open(path) as image:
            image.load()
            row = {
                "path": path,
                "format": image.format,
                "width": image.width,
                "height": image.height,
                "bytes": Path(path).stat().st_size,
                "sharpness": sharpness(image),
                "perceptual_hash": f"{perceptual_hash(image):016x}",
            }
        return DocumentBatch("images", pa.Table.from_pylist([row]), _metadata=task._metadata)


class Usable:
    """Whether an image is large and sharp enough."""

    def __init__(self, min_side: int, min_sharpness: float) -> None:
        self.min_side = min_side
        self.min_sharpness = min_sharpness

    def __call__(self, image: dict[str, Any]) -> bool:
        return min(image["width"], image["height"]) >= self.min_side and image["sharpness"] >= self.min_sharpness


class Thumbnails(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Writes a small JPEG of every image, and adds its path to the metadata."""

    name = "thumbnails"
    resources = Resources(cpus=0.5)

    def __init__(self, folder: str, side: int = 48) -> None:
        self.folder = folder
        self.side = side

    def process(self, task: DocumentBatch) -> DocumentBatch:
        from PIL import Image

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        table, paths = task.to_pyarrow(), []
        for path in table["path"].to_pylist():
            with Image.open(path) as image:
                small = image.convert("RGB")
            small.thumbnail((self.side, self.side))
            paths.append(f"{self.folder}/{Path(path).stem}.jpg")
            small.save(paths[-1], "JPEG", quality=85)
        return DocumentBatch("images", table.append_column("thumbnail", pa.array(paths, pa.string())))


def candidates(folder: Path) -> pa.Table:
    """The metadata of all usable images, in the order of their paths."""
    if not folder.exists():
        return pa.table({name: pa.array([], pa.string()) for name in ("path", "format", "perceptual_hash")})
    return pyarrow.dataset.dataset(folder).to_table().sort_by("path")


def copies_of(hashes: Any, max_distance: int) -> list[int]:
    """Rows that are copies of an earlier one."""
    from looks import copies

    found: list[int] = copies(hashes, max_distance).tolist()
    return found
