"""When is a source partition finished? When every task that descends from it has left the last stage.

Workers report with each batch how the number of descendants of each source changes; the driver adds up. The report of
a batch arrives before those of its outputs' batches, so a sum of zero means that nothing is left.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracking:
    """What a stage's workers do about sources; travels with the stage.

    `finished` returns which of some sources earlier runs have finished, `share` selects this run's tasks from those
    of a source stage, `begin` is called with the sources that run now, and with `by_content` only sources count that
    are known by what is in them, not by their position; with `tells_done` the finished ones are reported. All of these
    are for the source stage only.
    """

    is_source: bool
    is_last: bool
    counts: bool = True
    finished: Callable[[Sequence[str]], set[str]] | None = None
    share: Callable[[list[Any]], list[Any]] | None = None
    begin: Callable[[set[str]], None] | None = None
    by_content: bool = False
    tells_done: bool = False

    def select(self, tasks: list[Any]) -> tuple[list[Any], set[str]]:
        """The output of a source stage, without tasks of other jobs and finished ones; and the sources of these."""
        if not self.is_source:
            return tasks, set()
        done: set[str] = set()
        if self.share is not None:
            tasks = self.share(tasks)
        if self.finished is not None:
            done = self.finished([partition_of(task) for task in tasks])
            tasks = [task for task in tasks if partition_of(task) not in done]
        if self.begin is not None:
            self.begin({partition_of(task) for task in tasks})
        return tasks, done

    def account(
        self, inputs: Sequence[str], tasks: Sequence[Any], *, blended: bool, done: Iterable[str] = ()
    ) -> Account:
        """The sources of a call's inputs and output tasks as one account, and those that were `done` before.

        `blended`: some outputs' parents are unknown.
        """
        if not self.counts:
            return Account()
        descendants: Counter[str] = Counter()
        if self.is_source:
            descendants.update(dict.fromkeys(done if self.tells_done else (), 0))
            for task in tasks:
                if not self.by_content or _says_what_it_has(task):
                    descendants[partition_of(task)] += 0 if self.is_last else 1
            return Account(descendants)
        outputs = [partition_of(task) for task in tasks]
        for source in inputs:
            descendants[source] -= 1
        for source in outputs if not self.is_last else ():
            descendants[source] += 1
        return Account(
            Counter({source: count for source, count in descendants.items() if source and count}),
            set(inputs) - {""} if blended and len(set(inputs)) > 1 else set(),
        )


class Account:
    """Descendants gained and lost for each source, and sources whose tasks were blended with others'."""

    def __init__(self, descendants: Counter[str] | None = None, blended: set[str] | None = None) -> None:
        self.descendants: Counter[str] = descendants if descendants is not None else Counter()
        self.blended = blended or set()

    def add(self, other: Account) -> None:
        """Add another call's; zeros stay, because they open sources that end at once."""
        for source, count in other.descendants.items():
            self.descendants[source] += count
        self.blended |= other.blended


class Failure(Protocol):
    """A failed task, or rows that were left out of one, which went on without them."""

    @property
    def source(self) -> str: ...
    @property
    def rows(self) -> int | None: ...


class SourceReport(Protocol):
    """The part of a batch's report that is about sources."""

    @property
    def sources(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def blended(self) -> tuple[str, ...]: ...
    @property
    def failures(self) -> Iterable[Failure]: ...


class SourceTracker:
    """Adds up the reports of a run. A source with a failed task, or with tasks that were blended with another
    source's, never finishes: it runs again."""

    def __init__(self, stages: Sequence[str], source_stage: int) -> None:
        self._stages = stages
        self._source_stage = source_stage
        self._left: dict[str, int] = {}
        self._failed: set[str] = set()
        self._blended: set[str] = set()
        self._warned: set[int] = set()

    def record(self, stage: int, report: SourceReport) -> list[str]:
        """Add the report of a batch of the stage with this position; the sources that are finished now."""
        self._failed.update(failure.source for failure in report.failures if failure.source)
        if report.blended:
            self._blended.update(report.blended)
            if stage not in self._warned:
                self._warned.add(stage)
                log.warning(
                    "stage %r combined tasks of several source partitions, so it is unknown which output belongs to "
                    "which partition: they will run again when the run is resumed (return one result or None per "
                    "task, or set batch_size = 1 for the stage)",
                    self._stages[stage],
                )
        finished = []
        for source, change in report.sources:
            if stage == self._source_stage:
                self._left[source] = self._left.get(source, 0) + change
            elif source in self._left:
                self._left[source] += change
            else:
                continue  # not from this run's source stage
            if self._left[source] == 0 and source not in self._failed and source not in self._blended:
                finished.append(source)
                del self._left[source]
        return finished

    @property
    def open_count(self) -> int:
        """Sources that are not finished."""
        return len(self._left)

    def restart(self, left: Iterable[str], failures: Iterable[Failure]) -> None:
        """Count anew: one task of each of these sources is left, or more where one is named more often."""
        self._left = Counter(source for source in left if source)
        self._failed = {failure.source for failure in failures if failure.source and failure.rows is None}


def _says_what_it_has(task: Any) -> bool:
    """Whether a task is named by its content: a position may be that of something else the next time."""
    return bool(getattr(task, "get_deterministic_id", lambda: None)())


def partition_of(task: Any) -> str:
    """The source partition that a task descends from; empty where there is none."""
    return str(getattr(task, "_source_id", "") or "")
