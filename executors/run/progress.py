"""Progress of a pipeline, from one reporter on every back end.

Where CURATOR_SLURM_PROGRESS names a file, it is rewritten (whole, by rename) about once a second while a pipeline
runs, and once more at its end. Where CURATOR_SLURM_METRICS names one, what is measured is added to that.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.finished_work import WorkBefore
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.run import drain
from curator_slurm.executors.run.sources import Tally
from curator_slurm.executors.run.stage_progress import StageProgress, snapshots, with_work_before
from curator_slurm.executors.run.stage_samples import StageSamples
from curator_slurm.executors.run.store_usage import store_usage
from curator_slurm.executors.task_failures import DrainedError

log = logging.getLogger(__name__)

PROGRESS_FILE = "CURATOR_SLURM_PROGRESS"
pipeline_name: ContextVar[str] = ContextVar("pipeline_name", default="pipeline")
"""Name of the pipeline that is being run; executors are given stages only."""

_KEPT_OF_EARLIER = ("pipeline", "backend", "state", "started", "updated", "first_batch", "stages")
_WRITE_S = 1.0
_STORE_S = 10.0
_MOST_NOTES = 20
_TOTALS = ("tasks_failed", "items_failed", "rows_failed")

_earlier: list[dict[str, Any]] = []
"""Pipelines that this process has run before: a workflow has several."""


class ProgressReporter:
    """Progress of one pipeline; safe to use from several threads. A context manager around the run."""

    def __init__(self, backend: str, stages: Sequence[str], pipeline: str | None = None) -> None:
        self.backend = backend
        self.pipeline = pipeline or pipeline_name.get()
        self.stages = [StageProgress(name) for name in stages]
        self.nodes: Counter[str] = Counter()
        """Host name -> batches it has done."""
        self.notes: dict[str, None] = {}
        """What stages had to say, each once."""
        self.before = WorkBefore()
        """What earlier attempts have finished: it is in the file, and in nothing else."""
        self.state = "running"
        self.started = time.time()
        self.first_batch: float | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        path = os.environ.get(PROGRESS_FILE)
        self._path = Path(path) if path else None
        self._store: dict[str, int] | None = None
        self._threads: list[threading.Thread] = []
        self._samples = StageSamples.of_environment(self.pipeline, self.started)

    def add(self, stage: int, report: BatchReport) -> None:
        """Count one batch of the stage with this position."""
        with self._lock:
            self.stages[stage].add(report)
            self.first_batch = self.first_batch or time.time()
            for note in report.notes[: _MOST_NOTES - len(self.notes)]:
                self.notes[note] = None
            if report.node:
                self.nodes[report.node] += 1

    def restore(self, tallies: Sequence[Tally]) -> None:
        """Go back to these counts of each stage."""
        with self._lock:
            for stage, tally in zip(self.stages, tallies, strict=True):
                stage.restore(tally)

    def gauge(self, stage: int, *, workers: int | None = None, expected: int | None = None) -> None:
        """Set what is measured, not counted; None leaves a value as it is.

        `expected` is needed of the first stage only; the others get what the stage before has put out.
        """
        with self._lock:
            progress = self.stages[stage]
            if workers is not None:
                progress.set_workers(workers)
            progress.expected = expected if expected is not None else progress.expected

    def unfinished(self) -> set[int]:
        """Positions of the stages that have not had all their tasks, as far as is known."""
        with self._lock:
            stages = enumerate(snapshots(self.stages))
        return {i for i, stage in stages if stage["expected"] is None or stage["tasks_in"] < stage["expected"]}

    def left(self) -> list[float | None]:
        """Tasks that each stage has still to do, as far as that can be told."""
        with self._lock:
            stages = snapshots(self.stages)
        expected = [stage["expected_about"] for stage in stages]
        return [
            None if about is None else float(max(0, about - stage["tasks_in"]))
            for about, stage in zip(expected, stages, strict=True)
        ]

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain data, as it is written to the file."""
        with self._lock:
            stages = with_work_before(snapshots(self.stages), self.before)
        return {
            "schema": 1,
            "pipeline": self.pipeline,
            "backend": self.backend,
            "state": "draining" if self.state == "running" and drain.requested() else self.state,
            "started": self.started,
            "updated": time.time(),
            "began": (_earlier[0] if _earlier else {"started": self.started})["started"],
            "first_batch": next((e["first_batch"] for e in _earlier if e["first_batch"]), self.first_batch),
            "stages": stages,
            "before": {"sources": self.before.sources, "uncounted": self.before.uncounted},
            "nodes": dict(sorted(self.nodes.items())),
            "earlier": [*_earlier],
            "totals": {key: sum(entry[key] for entry in (*_earlier, *stages)) for key in _TOTALS},
            "notes": [*(note for entry in _earlier for note in entry["notes"]), *self.notes],
            "object_store": self._store,
        }

    def __enter__(self) -> ProgressReporter:
        if self._path is not None:
            self._write()
            self._threads = [
                threading.Thread(target=target, daemon=True, name=name)
                for target, name in ((self._write_often, "progress"), (self._look_at_store, "object-store"))
            ]
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        drained = kind is not None and issubclass(kind, DrainedError)
        self.state = "completed" if kind is None else "drained" if drained else "failed"
        self._stop.set()
        self._sample(last=True)
        with self._lock:
            for stage in self.stages:
                stage.workers = 0 if stage.workers is not None else None
        for thread in self._threads:
            thread.join()
        if self._path is not None:
            self._write()
            self._remember()
        done = ", ".join(f"{batches} on {node}" for node, batches in sorted(self.nodes.items()))
        log.info("pipeline %s %s; batches: %s", self.pipeline, self.state, done or "none")

    def _remember(self) -> None:
        """The next pipeline of this process overwrites the file; its stages are kept."""
        last = self.snapshot()
        own = {key: sum(stage[key] for stage in last["stages"]) for key in _TOTALS} | {"notes": list(self.notes)}
        _earlier.append({key: last[key] for key in _KEPT_OF_EARLIER} | own)

    def _write_often(self) -> None:
        while not self._stop.wait(_WRITE_S):
            self._write()
            self._sample()

    def _sample(self, *, last: bool = False) -> None:
        """Add to what was measured, where that is due; with histograms at the end."""
        if self._samples is None or not (last or self._samples.are_due(time.time())):
            return
        with self._lock:
            stages = snapshots(self.stages)
            histograms = [dict(stage.task_seconds) for stage in self.stages] if last else []
        self._samples.write(time.time(), stages, self._store, histograms)

    def _look_at_store(self) -> None:
        """Every ten seconds and at the end; in a thread of its own, because Ray may answer slowly."""
        wait, more = _WRITE_S, True
        while more:
            more = not self._stop.wait(wait)
            wait = _STORE_S
            usage = store_usage()
            if usage is not None:
                peak = max(usage["used_bytes"], (self._store or {}).get("peak_bytes", 0))
                self._store = {**usage, "peak_bytes": peak}

    def _write(self) -> None:
        assert self._path is not None
        with contextlib.suppress(OSError):
            write_atomic(self._path, json.dumps(self.snapshot()), durable=False)
