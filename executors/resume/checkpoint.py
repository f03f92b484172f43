"""The checkpoint of the current run: what stages track, and where reports go."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from curator_slurm.executors.ray_stage_spec import ray_stage_spec
from curator_slurm.executors.resume.log import CheckpointError, CheckpointLog, local_folder
from curator_slurm.executors.resume.nemo import ActorStore, array_share
from curator_slurm.executors.resume.tracker import Failure, SourceReport, SourceTracker, Tracking, partition_of

log = logging.getLogger(__name__)

_path: ContextVar[str | None] = ContextVar("checkpoint_path", default=None)
_UNATTRIBUTABLE = ("is_shuffle_stage", "is_raft_actor", "is_lsh_stage")


@contextlib.contextmanager
def checkpointing(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Executors in this context record finished source partitions in `path` and skip them; None changes nothing."""
    if path is None:
        yield
        return
    token = _path.set(str(local_folder(path)))
    try:
        yield
    finally:
        _path.reset(token)


def unattributable(stages: Sequence[Any]) -> str:
    """Which stage makes it impossible to tell what is finished, and why; empty where none does."""
    for stage in stages:
        for key in _UNATTRIBUTABLE:
            if ray_stage_spec(stage).get(key):
                return f"stage {stage.name!r} combines tasks of all source partitions ({key})"
        if not getattr(stage, "is_resumable", True):
            return f"stage {stage.name!r} is not resumable (is_resumable = False)"
    return ""


def check_resumable(stages: Sequence[Any], initial_tasks: Sequence[Any] | None = None) -> None:
    """Check that finished partitions can be determined with these stages.

    Raises:
        CheckpointError: names the stage that makes it impossible.
    """
    if reason := unattributable(stages):
        raise CheckpointError(
            f"checkpoint_path cannot be used: {reason}, so no partition is finished before all are. Run without "
            "checkpoint_path, or split the pipeline: write the documents before that stage and read them in a second "
            "pipeline"
        )
    ids = Counter(str(task.task_id) for task in initial_tasks or [])
    twice = [task_id for task_id, count in ids.items() if count > 1]
    if twice:
        raise CheckpointError(f"checkpoint_path requires initial tasks with unique ids; {twice[0]!r} occurs twice")


class Store(Protocol):
    """Where finished sources are recorded."""

    def append(self, sources: Iterable[str]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class FinishedBefore:
    """The sources that earlier runs have finished."""

    sources: frozenset[str]

    def __call__(self, asked: Sequence[str]) -> set[str]:
        return {source for source in asked if source in self.sources}


@dataclass(frozen=True)
class RemoveLeftovers:
    """Removes files that an interrupted run left of partitions that run again, where writers cannot replace them."""

    writers: tuple[Any, ...]

    def __call__(self, sources: set[str]) -> None:
        for writer in self.writers:
            writer.remove_leftovers(sources)


class Checkpoint:
    """Follows one run. Without a checkpoint it does nothing, and stages track nothing."""

    def __init__(self, stages: Sequence[Any]) -> None:
        """Open the checkpoint of the current run; Ray must be connected.

        Raises:
            CheckpointError: it cannot be used.
        """
        names = [str(stage.name) for stage in stages]
        marked = [index for index, stage in enumerate(stages) if getattr(stage, "is_source_stage", False)]
        self._source = marked[0] if marked else 0
        self._last = len(stages) - 1
        self._share = array_share(stages[self._source]) if stages else None
        self._store: Store | None = None
        self._finished: Callable[[Sequence[str]], set[str]] | None = None
        self._begin: Callable[[set[str]], None] | None = None
        path = _path.get()
        if path is not None:
            opened = CheckpointLog(path, names)
            self._store, self._finished = opened, FinishedBefore(opened.finished)
            self._begin = RemoveLeftovers(tuple(stage for stage in stages if hasattr(stage, "remove_leftovers")))
            if opened.finished:
                log.info("%d source partitions were finished by earlier runs", len(opened.finished))
        else:
            actor = ActorStore.find()
            if actor is not None:
                self._store, self._finished = actor, actor.finished
        self._tracker = SourceTracker(names, self._source)

    def tracking(self, index: int) -> Tracking | None:
        """What the workers of the stage with this position do about sources."""
        is_source = index == self._source
        counts = self._store is not None and index >= self._source
        share = self._share if is_source else None
        if not counts and share is None:
            return None
        finished = self._finished if is_source and counts else None
        return Tracking(is_source, index == self._last, counts, finished, share, self._begin if is_source else None)

    def record(self, stage: int, report: SourceReport) -> None:
        """Take the report of a batch."""
        if self._store is not None and (report.sources or report.blended or report.failures):
            finished = self._tracker.record(stage, report)
            if finished:
                self._store.append(finished)

    def restart(self, stage: int, tasks: Iterable[Any], failures: Iterable[Failure]) -> None:
        """Tasks in flight are lost: these tasks go to this stage again, and only these failures remain."""
        left = [partition_of(task) for task in tasks] if stage > self._source else []
        self._tracker.restart(left, failures)

    def close(self) -> None:
        """Write what is pending."""
        if self._store is not None:
            self._store.close()
