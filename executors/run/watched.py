"""Progress of executors that are not ours: their workers count the tasks in and out of a stage, in small files.

Such an executor has no channel to the driver, and manages its own connection to Ray. So each worker keeps
its counts in a file of its own, on the storage where progress.json is, and the driver adds them up.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.json_fields import whole
from curator_slurm.common.plain_files import read_plain
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.resume.tracker import items_of
from curator_slurm.executors.run.progress import PROGRESS_FILE, ProgressReporter
from curator_slurm.executors.tasks import is_failed_marker, is_none_marker

FOLDER = "progress-of-workers"
_LOOK_S = 0.5
_FILE_BYTES = 4096
_FIELDS = ("tasks_in", "tasks_out", "tasks_filtered", "items_in", "items_out")
_MOST_KIND = 200
_COUNTS: dict[tuple[str, int], _Counts] = {}


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
        with _following(type(self).__name__, stages, folder), _counting(stages, str(folder)):
            return self._executor.execute(list(stages), initial_tasks)


@contextlib.contextmanager
def _counting(stages: Sequence[Any], folder: str) -> Iterator[None]:
    """Give stages a `process_batch` that counts, except where one is set on the instance already."""
    changed = [(index, stage) for index, stage in enumerate(stages) if "process_batch" not in vars(stage)]
    for index, stage in changed:
        stage.process_batch = _Counted(stage, index, folder)
    try:
        yield
    finally:
        for _, stage in changed:
            del stage.process_batch


class _Counted:
    """A stage's `process_batch` in a worker; picklable together with its stage."""

    def __init__(self, stage: Any, index: int, folder: str) -> None:
        self.stage, self.index, self.folder = stage, index, folder

    def __call__(self, tasks: list[Any]) -> Any:
        items = sum(items_of(task) for task in tasks)
        outputs = type(self.stage).process_batch(self.stage, tasks)
        with contextlib.suppress(Exception):  # counting must never fail a run
            made = [task for task in outputs if not is_none_marker(task) and not is_failed_marker(task)]
            empty = sum(1 for task in outputs if is_none_marker(task))
            counts = _COUNTS.get((self.folder, self.index))
            if counts is None:
                counts = _COUNTS[(self.folder, self.index)] = _Counts(Path(self.folder), self.index)
            kind = type(made[0]).__name__ if made else ""
            counts.add((len(tasks), len(made), empty, items, sum(items_of(task) for task in made)), kind)
        return outputs


class _Counts:
    """What this process has counted for a stage, written after every call."""

    def __init__(self, folder: Path, index: int) -> None:
        self._values = [0] * len(_FIELDS)
        self._kind = ""
        self._path = folder / f"{index}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}.json"
        self._lock = threading.Lock()

    def add(self, values: Sequence[int], kind: str) -> None:
        with self._lock:
            self._kind = kind or self._kind
            self._values = [mine + more for mine, more in zip(self._values, values, strict=True)]
            self._write()  # at once: the worker may be killed as soon as its stage is done

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            write_atomic(self._path, json.dumps([*self._values, self._kind]), durable=False)


@contextlib.contextmanager
def _following(backend: str, stages: Sequence[Any], folder: Path) -> Iterator[None]:
    """Add up the workers' files and report them, while it lasts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reporter = ProgressReporter(backend, [str(stage.name) for stage in stages])
    seen: dict[int, list[int]] = {}
    ended = threading.Event()

    def look() -> None:
        for index, (values, node, kind) in _sums(folder).items():
            before = seen.get(index, [0] * len(_FIELDS))
            taken, given, filtered, items_in, items_out = (now - then for now, then in zip(values, before, strict=True))
            seen[index] = values
            if taken:
                report = BatchReport(taken, given, filtered, items_out, 0.0, node=node, kind=kind, items_in=items_in)
                reporter.add(index, report)

    def follow() -> None:
        while not ended.wait(_LOOK_S):
            look()

    thread = threading.Thread(target=follow, daemon=True, name="watched-progress")
    with reporter:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            look()
            shutil.rmtree(folder, ignore_errors=True)


def _sums(folder: Path) -> dict[int, tuple[list[int], str, str]]:
    """For each stage, the sum over its workers, one of their hosts, and the class of what they return."""
    sums: dict[int, tuple[list[int], str, str]] = {}
    for path in folder.glob("*.json"):
        index, _, rest = path.name.partition("-")
        if index.isascii() and index.isdecimal() and (found := _values(path)) is not None:
            values, kind = found
            total, _, known = sums.get(int(index), ([0] * len(_FIELDS), "", ""))
            host = rest.rpartition("-")[0].rpartition("-")[0].partition(".")[0]
            sums[int(index)] = ([mine + more for mine, more in zip(total, values, strict=True)], host, kind or known)
    return sums


def _values(path: Path) -> tuple[list[int], str] | None:
    """What one worker has counted; None where its file does not say."""
    try:
        values = json.loads(read_plain(path, _FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(values, list) or len(values) != len(_FIELDS) + 1 or not isinstance(values[-1], str):
        return None
    known = [count for value in values[:-1] if (count := whole(value)) is not None]
    return (known, values[-1][:_MOST_KIND]) if len(known) == len(_FIELDS) else None
