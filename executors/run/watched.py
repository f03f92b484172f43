"""Progress of executors that are not ours: their workers count what goes in and out of a stage, in small files.

Such an executor has no channel to the driver, and manages its own connection to Ray. So each worker keeps
its counts in a file of its own, on the storage where progress.json is, and the driver adds them up.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.json_fields import text, whole
from curator_slurm.common.plain_files import read_plain
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.document_samples import DocumentSample, SampleLimits
from curator_slurm.executors.run.counted_stage import COUNTS, FIELDS, SAMPLES, CountedStage
from curator_slurm.executors.run.progress import PROGRESS_FILE, ProgressReporter, pipeline_name
from curator_slurm.executors.run.sample_file import SampleFile

FOLDER = "progress-of-workers"
_LOOK_S = 0.5
_FILE_BYTES = 4096
_SAMPLE_BYTES = 4 << 20
_MOST_KIND = 200


def watched(executor: Any) -> Any:
    """The same executor, of a class of the same name, whose runs are counted."""
    return type(type(executor).__name__, (_Watched,), {})(executor)


class _Watched:
    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_executor"], name)

    def execute(self, stages: Sequence[Any], initial_tasks: list[Any] | None = None) -> Any:
        """Run the stages as the executor does."""
        progress = os.environ.get(PROGRESS_FILE)
        if not progress:
            return self._executor.execute(list(stages), initial_tasks)
        folder = Path(progress).absolute().parent / FOLDER
        samples = SampleFile(pipeline_name.get())
        looks = WorkerFiles(folder, [str(stage.name) for stage in stages], samples)
        with _following(type(self).__name__, looks), _counting(stages, str(folder), samples.limits):
            return self._executor.execute(list(stages), initial_tasks)


@contextlib.contextmanager
def _counting(stages: Sequence[Any], folder: str, samples: SampleLimits | None) -> Iterator[None]:
    """Give stages a `process_batch` that counts, except where one is set on the instance already."""
    changed = [(index, stage) for index, stage in enumerate(stages) if "process_batch" not in vars(stage)]
    for index, stage in changed:
        stage.process_batch = CountedStage(stage, index, folder, samples)
    try:
        yield
    finally:
        for _, stage in changed:
            del stage.process_batch


class WorkerFiles:
    """What the files of workers say that they did not say before."""

    def __init__(self, folder: Path, stages: Sequence[str], samples: SampleFile) -> None:
        self.folder, self.stages = folder, stages
        self._samples = samples
        self._seen: dict[int, list[int]] = {}
        self._shown: dict[str, int] = {}

    def look(self, reporter: ProgressReporter) -> None:
        """Report it. How long a single task took is not known: the time of workers counts without tasks."""
        for index, (values, node, kind) in sums(self.folder).items():
            before = self._seen.get(index, [0] * len(FIELDS))
            taken, given, filtered, items_in, items_out, bytes_in, bytes_out, busy_us = (
                now - then for now, then in zip(values, before, strict=True)
            )
            self._seen[index] = values
            if taken:
                counted = BatchReport(
                    taken, given, filtered, items_out, 0.0, node=node, kind=kind, items_in=items_in, bytes_in=bytes_in,
                    bytes_out=bytes_out,
                )  # fmt: skip
                reporter.add(index, counted)
                reporter.add(index, BatchReport(0, 0, 0, 0, busy_us / 1e6))
        if self._samples.limits is not None:
            self._show()

    def _show(self) -> None:
        for index, path in _of_stages(self.folder, SAMPLES):
            found = _documents(path)
            new = found[self._shown.get(path.name, 0) :]
            self._shown[path.name] = max(len(found), self._shown.get(path.name, 0))
            if new and index < len(self.stages):
                self._samples.add(index, self.stages[index], BatchReport(0, 0, 0, 0, 0.0, samples=tuple(new)))


@contextlib.contextmanager
def _following(backend: str, looks: WorkerFiles) -> Iterator[None]:
    """Add up the workers' files and report them, while it lasts."""
    shutil.rmtree(looks.folder, ignore_errors=True)
    looks.folder.mkdir(parents=True)
    reporter = ProgressReporter(backend, looks.stages)
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_LOOK_S):
            looks.look(reporter)

    thread = threading.Thread(target=follow, daemon=True, name="watched-progress")
    with reporter:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            looks.look(reporter)
            shutil.rmtree(looks.folder, ignore_errors=True)


def _of_stages(folder: Path, suffix: str) -> Iterator[tuple[int, Path]]:
    """Position of a stage, and the file of a worker of it."""
    for path in sorted(folder.glob(f"*{suffix}")):
        index = path.name.partition("-")[0]
        if index.isascii() and index.isdecimal():
            yield int(index), path


def sums(folder: Path) -> dict[int, tuple[list[int], str, str]]:
    """For each stage, the sum over its workers, one of their hosts, and the class of what they return."""
    found: dict[int, tuple[list[int], str, str]] = {}
    for index, path in _of_stages(folder, COUNTS):
        if (counted := _values(path)) is not None:
            values, kind = counted
            total, _, known = found.get(index, ([0] * len(FIELDS), "", ""))
            host = path.name.partition("-")[2].rpartition("-")[0].rpartition("-")[0].partition(".")[0]
            found[index] = ([mine + more for mine, more in zip(total, values, strict=True)], host, kind or known)
    return found


def _read(path: Path, most: int) -> list[Any]:
    try:
        value = json.loads(read_plain(path, most))
    except (OSError, ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _values(path: Path) -> tuple[list[int], str] | None:
    """What one worker has counted; None where its file does not say."""
    values = _read(path, _FILE_BYTES)
    if len(values) != len(FIELDS) + 1 or not isinstance(values[-1], str):
        return None
    known = [count for value in values[:-1] if (count := whole(value)) is not None]
    return (known, values[-1][:_MOST_KIND]) if len(known) == len(FIELDS) else None


def _documents(path: Path) -> list[DocumentSample]:
    """What one worker has taken for people to look at."""
    return [each for value in _read(path, _SAMPLE_BYTES) if (each := _document(value)) is not None]


def _document(value: Any) -> DocumentSample | None:
    if not isinstance(value, dict) or not isinstance(fields := value.get("fields"), dict):
        return None
    words = {str(name): str(each) for name, each in fields.items()}
    by, why = text(value.get("by")) or "", text(value.get("why")) or ""
    return DocumentSample(by, value.get("kept") is True, why, words)
