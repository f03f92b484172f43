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

from curator_slurm.common.finished_work import Work, WorkBefore
from curator_slurm.executors.ray_stage_spec import ray_stage_spec
from curator_slurm.executors.resume.log import CheckpointError, CheckpointLog, local_folder
from curator_slurm.executors.resume.nemo import ActorStore, array_share
from curator_slurm.executors.resume.tracker import Failure, SourceReport, SourceTracker, Tracking, partition_of

log = logging.getLogger(__name__)

_wanted: ContextVar[tuple[str, bool] | None] = ContextVar("checkpoint_path", default=None)
"""The folder of the checkpoint, and whether nobody has asked for it."""
_BASES = ("ProcessingStage", "CompositeStage")
_UNATTRIBUTABLE = ("is_shuffle_stage", "is_raft_actor", "is_lsh_stage")


@contextlib.contextmanager
def checkpointing(path: str | os.PathLike[str] | None, *, automatic: bool = False) -> Iterator[None]:
    """Executors in this context record finished source partitions in `path` and skip them; None changes nothing.

    `automatic`: nobody has asked for it, and this run has the folder for itself. Then partitions must be named by
    their content, and those that were finished must be there still.
    """
    if path is None:
        yield
        return
    token = _wanted.set((str(local_folder(path)), automatic))
    try:
        yield
    finally:
        _wanted.reset(token)


def unattributable(stages: Sequence[Any]) -> str:
    """Which stage makes it impossible to tell what is finished, and why; empty where none does."""
    for stage in stages:
        for key in _UNATTRIBUTABLE:
            if ray_stage_spec(stage).get(key):
                return f"stage {stage.name!r} combines tasks of all source partitions ({key})"
        if not getattr(stage, "is_resumable", True):
            return f"stage {stage.name!r} is not resumable (is_resumable = False)"
    return ""


def says_so(stage: Any) -> bool:
    """Whether the stage itself, or its class, says that it can be resumed; the default of all stages is no such."""
    owners = [vars(stage), *(vars(cls) for cls in type(stage).__mro__ if cls.__name__ not in _BASES)]
    return any(owner.get("is_resumable") is True for owner in owners)


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


class SourcesGoneError(CheckpointError):
    """What an earlier attempt has finished is of another input."""


class Store(Protocol):
    """Where finished sources are recorded."""

    def append(self, sources: Iterable[str], work: Work | None = None) -> None: ...
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


def _of_others(before: WorkBefore) -> WorkBefore:
    """Where somebody has asked for a checkpoint, earlier runs have finished that: it is no work of this one."""
    return WorkBefore(before.sources, before.sources)


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
        self._before: frozenset[str] = frozenset()
        """What earlier attempts have finished, where nobody has asked for a checkpoint."""
        self._recorded: set[str] = set()
        """What this run has finished: where it runs again after a loss, that changes nothing."""
        self.work_before = WorkBefore()
        """What was counted of the partitions that earlier attempts have finished."""
        self._unseen: set[str] = set()
        self._by_content = False
        wanted = _wanted.get()
        if wanted is not None:
            path, automatic = wanted
            opened = CheckpointLog(path, names)
            self._store, self._finished = opened, FinishedBefore(opened.finished)
            if opened.finished or not automatic:  # else nothing is left of an earlier run
                self._begin = RemoveLeftovers(tuple(stage for stage in stages if hasattr(stage, "remove_leftovers")))
            self.work_before = opened.before if automatic else _of_others(opened.before)
            if automatic:
                self._before, self._unseen = opened.finished, set(opened.finished)
                self._by_content = not says_so(stages[self._source])
            if opened.finished:
                log.info("%d source partitions were finished by earlier runs", len(opened.finished))
        else:
            actor = ActorStore.find()
            if actor is not None:
                self._store, self._finished = actor, actor.finished
        self._tracker = SourceTracker(names, self._source)
        self.finished_count = 0
        """Partitions that this run has finished."""

    @property
    def source_stage(self) -> int:
        """Position of the stage that makes the source partitions."""
        return self._source

    @property
    def is_recorded(self) -> bool:
        """Whether finished partitions are recorded anywhere."""
        return self._store is not None

    @property
    def goes_on(self) -> bool:
        """Whether earlier attempts at the same run have finished something, where nobody has asked for a checkpoint."""
        return bool(self._before)

    @property
    def open_count(self) -> int:
        """Partitions that the source stage has made and that are not finished."""
        return self._tracker.open_count

    def tracking(self, index: int) -> Tracking | None:
        """What the workers of the stage with this position do about sources."""
        is_source = index == self._source
        counts = self._store is not None and index >= self._source
        share = self._share if is_source else None
        if not counts and share is None:
            return None
        finished = self._finished if is_source and counts else None
        return Tracking(
            is_source,
            index == self._last,
            counts,
            finished,
            share,
            self._begin if is_source else None,
            by_content=is_source and self._by_content,
            tells_done=is_source and bool(self._before),
        )

    def record(self, stage: int, report: SourceReport) -> None:
        """Take the report of a batch."""
        if self._store is not None and (report.sources or report.source_work or report.blended or report.failures):
            if stage == self._source:
                self._unseen.difference_update(source for source, _ in report.sources)
            self._append(self._tracker.record(stage, report))

    def _append(self, sources: Sequence[str]) -> None:
        if not sources or self._store is None:
            return
        finished = [source for source in sources if source not in self._before and source not in self._recorded]
        work = self._tracker.take_work(finished)
        self._tracker.take_work(sources)
        if finished:
            self._recorded.update(finished)
            self.finished_count += len(finished)
            self._store.append(finished, work)

    def check_sources(self) -> None:
        """At the end of a run that has gone on by itself: what was finished must be part of the input still.

        Raises:
            SourcesGoneError: it is not, so that its outputs may be those of other partitions, too.
        """
        if self._unseen:
            raise SourcesGoneError(
                f"{len(self._unseen)} source partitions that an earlier attempt has finished are not made any more: "
                "the input has changed, or is divided in another way"
            )

    def restart(self, stage: int, tasks: Iterable[Any], failures: Iterable[Failure]) -> None:
        """Tasks in flight are lost: these tasks go to this stage again, and only these failures remain."""
        left = [partition_of(task) for task in tasks] if stage > self._source else []
        self._tracker.restart(left, failures, stage)

    def close(self) -> None:
        """Write what is pending."""
        if self._store is not None:
            self._store.close()
