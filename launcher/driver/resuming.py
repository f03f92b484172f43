"""The driver's side of a takeover: whether the pipeline goes on with what earlier attempts have finished."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.checkpoint_files import read_finished
from curator_slurm.executors.resume.checkpoint import SourcesGoneError, checkpointing
from curator_slurm.executors.resume.restarts import not_replaced, why_anew
from curator_slurm.executors.resumed_run import resumed_run
from curator_slurm.launcher.runs.finished_sources import count_finished
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.takeover import begin_anew


@contextlib.contextmanager
def resuming(
    build: Callable[[], Any], executor: Any, attempt: AttemptPaths, say: Callable[[str], object]
) -> Iterator[Any]:
    """The pipeline that `build` makes; what it finishes in this context is recorded, where that can be told.

    Raises:
        OSError: what is of no use cannot be removed.
        SourcesGoneError: what was finished turns out to be of another input; the next attempt begins anew.
    """
    with resumed_run(count_finished(attempt) > 0):
        pipeline, checkpoint = _ready(build, executor, attempt, say)
        with checkpointing(checkpoint, automatic=True), _of_the_same_input(attempt):
            yield pipeline


def _ready(
    build: Callable[[], Any], executor: Any, attempt: AttemptPaths, say: Callable[[str], object]
) -> tuple[Any, Path | None]:
    finished = count_finished(attempt)
    before = _files_in(attempt.outputs) if finished else set()
    pipeline = build()
    stages = built_stages(pipeline)
    never = why_anew(pipeline, stages, executor)
    if never:
        say(f"a restart of this run begins anew: {never}")
    if finished:
        why = never or _why_not_now(attempt, stages, before)
        if why:
            say(f"begins anew: {why}")
            for name in before:
                (attempt.outputs / name).unlink(missing_ok=True)
            begin_anew(attempt, why)
            attempt.failures.unlink(missing_ok=True)  # of partitions that run again
        else:
            say(f"goes on where earlier attempts have stopped: {finished} source partitions are finished")
    return pipeline, None if never else attempt.checkpoint


@contextlib.contextmanager
def _of_the_same_input(attempt: AttemptPaths) -> Iterator[None]:
    try:
        yield
    except SourcesGoneError as error:
        for name in _files_in(attempt.outputs):
            (attempt.outputs / name).unlink(missing_ok=True)
        begin_anew(attempt, str(error))
        raise SourcesGoneError(
            f"{error}; nothing of this attempt is kept, and `curator-slurm retry` begins anew"
        ) from error


def built_stages(pipeline: Any) -> Sequence[Any]:
    """The stages that a pipeline will run; none where it does not say."""
    shown = copy.copy(pipeline)
    stages = getattr(shown, "stages", None)
    if not isinstance(stages, list) or not hasattr(shown, "build"):
        return ()
    shown.stages = list(stages)
    with contextlib.suppress(AttributeError, TypeError):
        shown.decomposition_info = dict(shown.decomposition_info)
    shown.build()
    return list(shown.stages)


def _why_not_now(attempt: AttemptPaths, stages: Sequence[Any], before: set[str]) -> str:
    names = [str(stage.name) for stage in stages]
    for log in read_finished(attempt.checkpoint):
        if log.sources and log.stages not in (None, names):
            return f"the stages were {', '.join(log.stages or ())}, and are {', '.join(names)} now"
    if before - _files_in(attempt.outputs):
        return "making the pipeline has removed what earlier attempts had staged"
    return not_replaced(stages, attempt.outputs, before)


def _files_in(folder: Path) -> set[str]:
    """The files below a folder, by their paths from there."""
    return {
        os.path.relpath(os.path.join(top, name), folder)  # noqa: PTH118 (hundreds of thousands)
        for top, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    }
