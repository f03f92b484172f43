"""A stage in a worker of an executor that is not ours: what it takes and makes is counted, in a file of each process.

Such a worker has no channel to the driver. Its file has the counts of one stage, and beside it there may be one with
documents that the stage has kept and dropped, where somebody has asked to see some.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.executors.adapter.dropped_documents import Before, Comparer
from curator_slurm.executors.adapter.lineage import children_of_batch
from curator_slurm.executors.adapter.task_size import Weigher
from curator_slurm.executors.document_samples import DocumentSample, SampleLimits, SampleTaker, showing
from curator_slurm.executors.resume.tracker import items_of
from curator_slurm.executors.tasks import is_failed_marker, is_none_marker

FIELDS = (
    "tasks_in", "tasks_out", "tasks_filtered", "items_in", "items_out", "bytes_in", "bytes_out", "busy_us",
)  # fmt: skip
"""What a file has, in this order; then the class of the stage's outputs."""
COUNTS, SAMPLES = ".json", ".samples"
_WORK: dict[tuple[str, int], WorkerFile] = {}


class CountedStage:
    """A stage's `process_batch` in a worker; picklable together with its stage."""

    def __init__(self, stage: Any, index: int, folder: str, samples: SampleLimits | None = None) -> None:
        self.stage, self.index, self.folder, self.samples = stage, index, folder, samples

    def __call__(self, tasks: list[Any]) -> Any:
        work = self._work()
        given, items = list(tasks), sum(items_of(task) for task in tasks)
        size, rows = work.weigh_in(given, items), work.rows(given)
        began = time.perf_counter()
        with showing(work.taker):
            outputs = type(self.stage).process_batch(self.stage, tasks)
            if isinstance(outputs, Iterator):
                outputs = list(outputs)
        seconds = time.perf_counter() - began
        with contextlib.suppress(Exception):  # counting must never fail a run
            work.compare(self.stage, given, rows, outputs)
            made = [task for task in outputs if not is_none_marker(task) and not is_failed_marker(task)]
            empty = sum(1 for task in outputs if is_none_marker(task))
            items_made = sum(items_of(task) for task in made)
            counts = (len(given), len(made), empty, items, items_made, size, work.weigh_out(made, items_made))
            kind = type(made[0]).__name__ if made else ""
            work.add((*counts, round(seconds * 1e6)), kind, seconds)
        return outputs

    def _work(self) -> WorkerFile:
        key = (self.folder, self.index)
        if key not in _WORK:
            _WORK[key] = WorkerFile(Path(self.folder), self.index, str(self.stage.name), self.samples)
        return _WORK[key]


class WorkerFile:
    """What this process has counted for a stage, written after every call."""

    def __init__(self, folder: Path, index: int, stage: str, samples: SampleLimits | None) -> None:
        self.weigh_in, self.weigh_out = Weigher(), Weigher()
        self.taker = SampleTaker(samples) if samples is not None else None
        self._comparer = Comparer(self.taker, stage) if self.taker is not None else None
        self._values = [0] * len(FIELDS)
        self._documents: list[DocumentSample] = []
        self._kind = ""
        self._path = folder / f"{index}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}{COUNTS}"
        self._lock = threading.Lock()

    def rows(self, tasks: list[Any]) -> list[Before]:
        """Rows before the stage has them, where documents are wanted."""
        with contextlib.suppress(Exception):  # whatever payloads are
            return self._comparer.before(tasks) if self._comparer is not None else []
        return []

    def compare(self, stage: Any, tasks: list[Any], rows: list[Before], outputs: Sequence[Any]) -> None:
        """Tell from rows that went in what was dropped, unless the stage has said so itself."""
        if self._comparer is None or self.taker is None or not rows or self.taker.heard:
            return
        with contextlib.suppress(Exception):
            children = children_of_batch(stage, tasks, outputs)
            self._comparer.after(rows, ((each.parent, each.task) for each in children if not is_none_marker(each.task)))

    def add(self, values: Sequence[int], kind: str, seconds: float) -> None:
        """Count a call, and write it at once: the worker may be killed as soon as its stage is done."""
        for weigher in (self.weigh_in, self.weigh_out):
            weigher.worked(seconds)
        with self._lock:
            self._kind = kind or self._kind
            self._values = [mine + more for mine, more in zip(self._values, values, strict=True)]
            with contextlib.suppress(OSError):
                write_atomic(self._path, json.dumps([*self._values, self._kind]), durable=False)
            if self.taker is not None and (new := self.taker.give()):
                self._documents += new
                text = json.dumps([asdict(each) for each in self._documents])
                with contextlib.suppress(OSError):
                    write_atomic(self._path.with_suffix(SAMPLES), text, mode=0o600, durable=False)
