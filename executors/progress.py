"""Progress of a pipeline, from one reporter on every back end.

Where CURATOR_SLURM_PROGRESS names a file, it is rewritten (whole, by rename) about once a second while a pipeline
runs, and once more at its end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from curator_slurm.executors.adapter import BatchReport

log = logging.getLogger(__name__)

PROGRESS_FILE = "CURATOR_SLURM_PROGRESS"
pipeline_name: ContextVar[str] = ContextVar("pipeline_name", default="pipeline")
"""Name of the pipeline that is being run; executors are given stages only."""

_WRITE_S = 1.0
_RATE_WINDOW_S = 60.0


class StageProgress:
    """Counts of one stage. `expected` is the number of tasks it will get, where that is known."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks_in = 0
        self.tasks_out = 0
        self.tasks_filtered = 0
        self.tasks_failed = 0
        self.items_out = 0
        self.kind = ""
        self.queued: int | None = None
        self.workers: int | None = None
        self.expected: int | None = None
        self._history: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, report: BatchReport) -> None:
        """Count one batch."""
        self.tasks_in += report.tasks_in
        self.tasks_out += report.tasks_out
        self.tasks_filtered += report.tasks_filtered
        self.tasks_failed += len(report.failures)
        self.items_out += report.items_out
        self.kind = report.kind or self.kind
        now = time.monotonic()
        self._history.append((now, self.tasks_in))
        while len(self._history) > 2 and now - self._history[0][0] > _RATE_WINDOW_S:
            self._history.popleft()

    @property
    def rate(self) -> float | None:
        """Tasks taken per second over the last minute."""
        then, count = self._history[0]
        seconds = time.monotonic() - then
        return (self.tasks_in - count) / seconds if seconds > 0 and self.tasks_in > count else None

    def snapshot(self) -> dict[str, Any]:
        rate = self.rate
        left = self.expected - self.tasks_in if self.expected is not None else None
        return {
            "name": self.name,
            "tasks_in": self.tasks_in,
            "tasks_out": self.tasks_out,
            "tasks_filtered": self.tasks_filtered,
            "tasks_failed": self.tasks_failed,
            "items_out": self.items_out,
            "kind": self.kind,
            "queued": self.queued,
            "workers": self.workers,
            "expected": self.expected,
            "rate": round(rate, 3) if rate is not None else None,
            "eta_s": round(left / rate, 1) if rate and left is not None and left >= 0 else None,
        }


class ProgressReporter:
    """Progress of one pipeline; safe to use from several threads. A context manager around the run."""

    def __init__(self, backend: str, stages: Sequence[str], pipeline: str | None = None) -> None:
        self.backend = backend
        self.pipeline = pipeline or pipeline_name.get()
        self.stages = [StageProgress(name) for name in stages]
        self.nodes: Counter[str] = Counter()
        """Host name -> batches it has done."""
        self.state = "running"
        self.started = time.time()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        path = os.environ.get(PROGRESS_FILE)
        self._path = Path(path) if path else None
        self._thread: threading.Thread | None = None

    def add(self, stage: int, report: BatchReport) -> None:
        """Count one batch of the stage with this position."""
        with self._lock:
            self.stages[stage].add(report)
            if report.node:
                self.nodes[report.node] += 1

    def gauge(
        self, stage: int, *, queued: int | None = None, workers: int | None = None, expected: int | None = None
    ) -> None:
        """Set what is measured, not counted; None leaves a value as it is."""
        with self._lock:
            progress = self.stages[stage]
            progress.queued = queued if queued is not None else progress.queued
            progress.workers = workers if workers is not None else progress.workers
            progress.expected = expected if expected is not None else progress.expected

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain data, as it is written to the file."""
        with self._lock:
            stages = [stage.snapshot() for stage in self.stages]
        return {
            "schema": 1,
            "pipeline": self.pipeline,
            "backend": self.backend,
            "state": self.state,
            "started": self.started,
            "updated": time.time(),
            "stages": stages,
            "nodes": dict(sorted(self.nodes.items())),
            "totals": {"tasks_failed": sum(stage["tasks_failed"] for stage in stages)},
        }

    def __enter__(self) -> ProgressReporter:
        if self._path is not None:
            self._write()
            self._thread = threading.Thread(target=self._write_often, daemon=True, name="progress")
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.state = "completed" if kind is None else "failed"
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._write()
        done = ", ".join(f"{batches} on {node}" for node, batches in sorted(self.nodes.items()))
        log.info("pipeline %s %s; batches: %s", self.pipeline, self.state, done or "none")

    def _write_often(self) -> None:
        while not self._stop.wait(_WRITE_S):
            self._write()

    def _write(self) -> None:
        assert self._path is not None
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(self.snapshot()), encoding="utf-8")
            temporary.replace(self._path)
