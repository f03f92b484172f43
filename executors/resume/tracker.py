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

from curator_slurm.common.finished_work import COUNTED, Work

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
        self, inputs: Sequence[Given], tasks: Sequence[Any], *, blended: bool, done: Iterable[str] = ()
    ) -> Account:
        """The sources of a call's inputs and output tasks as one account, and those that were `done` before.

        `blended`: some outputs' parents are unknown.
        """
        if not self.counts:
            return Account()
        account = self._descendants([each.source for each in inputs], tasks, blended=blended, done=done)
        for each in () if self.is_source else inputs:
            account.count(each.source, (1, 0, int(each.dropped), each.items, 0))
        for task in tasks:
            account.count(partition_of(task), (0, 1, 0, 0, items_of(task)))
        return account

    def _descendants(
        self, inputs: Sequence[str], tasks: Sequence[Any], *, blended: bool, done: Iterable[str]
    ) -> Account:
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


@dataclass(frozen=True)
class Given:
    """An input of a call, as it was before: its source and items, and whether nothing has come of it."""

    source: str
    items: int
    dropped: bool


class Account:
    """Descendants gained and lost for each source, and sources whose tasks were blended with others'.

    `work` has for each source what the stage has counted: tasks in, out and dropped, items in and out.
    """

    def __init__(self, descendants: Counter[str] | None = None, blended: set[str] | None = None) -> None:
        self.descendants: Counter[str] = descendants if descendants is not None else Counter()
        self.blended = blended or set()
        self.work: dict[str, list[int]] = {}

    def count(self, source: str, counts: Sequence[int]) -> None:
        """Add to what was counted of a source; without one, nothing."""
        if source:
            before = self.work.setdefault(source, [0] * len(counts))
            before[:] = [a + b for a, b in zip(before, counts, strict=True)]

    def add(self, other: Account) -> None:
        """Add another call's; zeros stay, because they open sources that end at once."""
        for source, count in other.descendants.items():
            self.descendants[source] += count
        self.blended |= other.blended
        for source, counts in other.work.items():
            self.count(source, counts)


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
    @property
    def source_work(self) -> tuple[tuple[str, tuple[int, ...]], ...]: ...
    @property
    def rows_left_out(self) -> tuple[tuple[int, Failure], ...]: ...
    @property
    def kind(self) -> str: ...


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
        self._work: dict[str, dict[int, list[int]]] = {}
        """Source -> stage -> what was counted there; of sources that are not finished."""
        self._kinds = [""] * len(stages)

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
        changed = {}
        for source, change in report.sources:
            if stage == self._source_stage:
                self._left[source] = self._left.get(source, 0) + change
            elif source in self._left:
                self._left[source] += change
            else:
                continue  # not from this run's source stage
            changed[source] = True
        self._count(stage, report)
        finished = []
        for source in changed:
            if self._left[source] == 0 and source not in self._failed and source not in self._blended:
                finished.append(source)
                del self._left[source]
        return finished

    def _count(self, stage: int, report: SourceReport) -> None:
        self._kinds[stage] = report.kind or self._kinds[stage]
        for source, counts in report.source_work:
            self._add(source, stage, [*counts, 0])
        for _, failure in report.rows_left_out:
            self._add(failure.source, stage, [0] * (len(COUNTED) - 1) + [failure.rows or 1])

    def _add(self, source: str, stage: int, counts: Sequence[int]) -> None:
        if source in self._left:
            before = self._work.setdefault(source, {}).setdefault(stage, [0] * len(COUNTED))
            before[:] = [a + b for a, b in zip(before, counts, strict=True)]

    def take_work(self, sources: Iterable[str]) -> Work:
        """What was counted of these finished sources, which is forgotten here."""
        work = Work.of_stages(len(self._stages))
        work.kinds = list(self._kinds)
        for source in sources:
            for stage, counts in self._work.pop(source, {}).items():
                work.counts[stage] = [a + b for a, b in zip(work.counts[stage], counts, strict=True)]
        return work

    @property
    def open_count(self) -> int:
        """Sources that are not finished."""
        return len(self._left)

    def restart(self, left: Iterable[str], failures: Iterable[Failure], stage: int = 0) -> None:
        """Count anew: one task of each of these sources is left, or more where one is named more often.

        They go to this stage: what those before it have counted of them stands.
        """
        self._left = Counter(source for source in left if source)
        stands = {source: self._work.get(source, {}) for source in self._left}
        self._work = {
            source: {before: counts for before, counts in work.items() if before < stage}
            for source, work in stands.items()
        }
        self._failed = {failure.source for failure in failures if failure.source and failure.rows is None}


def items_of(task: Any) -> int:
    """Items in a task: documents in a batch, files in a group; 1 where it does not say."""
    try:
        return int(task.num_items)
    except Exception:
        return 1


def _says_what_it_has(task: Any) -> bool:
    """Whether a task is named by its content: a position may be that of something else the next time."""
    return bool(getattr(task, "get_deterministic_id", lambda: None)())


def partition_of(task: Any) -> str:
    """The source partition that a task descends from; empty where there is none."""
    return str(getattr(task, "_source_id", "") or "")
