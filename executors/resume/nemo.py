"""NeMo Curator's own bookkeeping, kept up when its pipelines run here; nothing is imported unless it is loaded already.

Its Pipeline starts a detached actor for `checkpoint_path`, reads SLURM array settings from the environment, and
looks for a marker when tasks have failed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

_CLOSE_S = 30.0


def _in_use() -> bool:
    return "nemo_curator" in sys.modules


class ActorStore:
    """Finished sources in the checkpoint that NeMo Curator's resumability actor keeps."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._last: Any = None
        self.finished = AskActor()

    @classmethod
    def find(cls) -> ActorStore | None:
        """The actor of the pipeline that is running, if it is NeMo Curator's and has one."""
        if not _in_use():
            return None
        try:
            from nemo_curator.utils.resumability_client import ACTOR_NAME
        except ImportError:  # a version without it
            return None
        import ray

        try:
            return cls(ray.get_actor(ACTOR_NAME, namespace=ACTOR_NAME))
        except ValueError:
            return None

    def append(self, sources: Iterable[str], work: object = None) -> None:  # noqa: ARG002 (it keeps no counts)
        """A change of zero tells the actor that nothing of a source is left."""
        self._last = self._actor.apply_deltas.remote([(f"{source}_finished", source, 0) for source in sources])

    def close(self) -> None:
        """The actor works in order: its last answer is for all."""
        import ray

        try:
            ray.get(self._last, timeout=_CLOSE_S) if self._last is not None else None
        except Exception as error:
            log.warning("the resumability actor did not record all finished partitions: %s", error)


class AskActor:
    """Asks NeMo Curator's actor from within a worker."""

    def __call__(self, sources: Sequence[str]) -> set[str]:
        from nemo_curator.utils.resumability_client import completed_resumability_sources

        return set(completed_resumability_sources(list(sources)))


@dataclass(frozen=True)
class ArrayShare:
    """The tasks of a source stage that NeMo Curator's array settings give to this job."""

    config: Any
    stage: str

    def __call__(self, tasks: list[Any]) -> list[Any]:
        from nemo_curator.backends.slurm_array import filter_slurm_array_source_tasks

        return list(filter_slurm_array_source_tasks(tasks, self.config, self.stage))


def array_share(stage: Any) -> Callable[[list[Any]], list[Any]] | None:
    """This job's share of the source tasks, if the stage is NeMo Curator's and its array support is on.

    Raises:
        ValueError: its environment variables contradict each other.
    """
    if not _in_use() or not any(cls.__module__.partition(".")[0] == "nemo_curator" for cls in type(stage).__mro__):
        return None
    try:
        from nemo_curator.backends.slurm_array import resolve_slurm_array_config
    except ImportError:  # a version without it
        return None
    config = resolve_slurm_array_config(is_source_stage=True)
    return None if config is None else ArrayShare(config, str(stage.name))


def mark_failed_tasks() -> None:
    """Leave the marker by which NeMo Curator's Pipeline knows that tasks have failed."""
    if not _in_use():
        return
    try:
        from nemo_curator.backends.failed_task_markers import record_failed_tasks
    except ImportError:  # a version without it
        return
    record_failed_tasks()
