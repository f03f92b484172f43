"""Which source every task in flight descends from, so that a loss costs the sources it touches and no others.

A source is a task that the driver holds: an initial task, or what the first stage made of the single one. Tasks that
went through one batch without a known parent cannot be told apart from then on: their sources form one group. A group
is settled when none of its tasks is in flight; until then its outputs are withheld, because they would be produced
again if its sources had to run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.task_failures import FailedTaskRecord, LostTasksError


@dataclass
class Tally:
    """Tasks of one stage, and the items in them."""

    tasks_in: int = 0
    tasks_out: int = 0
    tasks_filtered: int = 0
    tasks_failed: int = 0
    items_in: int = 0
    items_out: int = 0
    items_failed: int = 0
    rows_failed: int = 0

    def add(self, other: Tally) -> None:
        for name, more in vars(other).items():
            setattr(self, name, getattr(self, name) + more)


@dataclass
class _Group:
    """Sources that settle together."""

    sources: list[int]
    in_flight: int
    tallies: dict[int, Tally] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    failures: list[FailedTaskRecord] = field(default_factory=list)

    def take(self, other: _Group) -> None:
        self.sources += other.sources
        self.in_flight += other.in_flight
        self.outputs += other.outputs
        self.failures += other.failures
        for stage, tally in other.tallies.items():
            self.tallies.setdefault(stage, Tally()).add(tally)


class Sources:
    """All sources of a run and their state. Groups are numbers; back ends keep one for each task."""

    def __init__(self, stages: int, tasks: Sequence[Any]) -> None:
        self.first_stage = 0
        """The stage that unfinished sources go to."""
        self.settled = [Tally() for _ in range(stages)]
        self.failures: list[FailedTaskRecord] = []
        """Records of settled sources: failed tasks, and rows that were left out."""
        self.outputs: list[Any] = []
        """Outputs of settled sources."""
        self._stages = stages
        self._begin(list(tasks))

    def _begin(self, tasks: list[Any]) -> None:
        self._tasks = tasks
        self._restart(range(len(tasks)))

    def _restart(self, sources: Iterable[int]) -> None:
        self._groups = {index: _Group([index], 1) for index in sources}
        self._merged: dict[int, int] = {}

    @property
    def unfinished(self) -> list[Any]:
        """The sources' tasks that are not settled, in order."""
        return [self._tasks[index] for index in self.unfinished_groups]

    @property
    def unfinished_groups(self) -> list[int]:
        """Positions of the unfinished sources; each is the group of its task when a round begins."""
        return sorted(index for group in self._groups.values() for index in group.sources)

    @property
    def single(self) -> bool:
        """Whether everything comes of one initial task."""
        return len(self._tasks) == 1 and not self.first_stage

    @property
    def count(self) -> int:
        """How many sources there are."""
        return len(self._tasks)

    @property
    def settled_count(self) -> int:
        """How many sources are settled."""
        return len(self._tasks) - len(self.unfinished_groups)

    def check_finished(self) -> None:
        """Every task of every source must have been output, filtered or failed.

        Raises:
            LostTasksError: some are still in flight, though nothing runs any more.
        """
        if self._groups:
            missing = sum(group.in_flight for group in self._groups.values())
            named = ", ".join(str(getattr(task, "task_id", "?")) for task in self.unfinished[:3])
            raise LostTasksError(
                f"{several(missing, 'task')} lost: neither output nor filtered nor failed; sources: {named}"
            )

    def restart(self) -> None:
        """Discard what unfinished sources have produced: they run again."""
        self._restart(self.unfinished_groups)

    def replace_single(self, outputs: Sequence[Any], groups: Sequence[int]) -> list[int]:
        """The first stage has made these of the only initial task: let them be the sources from now on.

        `groups` are those that `record` gave for the outputs; the new ones, one for each, are returned.
        """
        if not self.single or len(set(groups)) > 1:
            raise ValueError("only the outputs of a single initial task can take its place")
        only = self._groups.get(self._find(0))
        if only is not None:
            self.failures += only.failures
            for stage, tally in only.tallies.items():
                self.settled[stage].add(tally)
        self.first_stage = 1
        self._begin(list(outputs))
        return list(range(len(outputs)))

    def record(self, stage: int, groups: Sequence[int], report: BatchReport) -> list[int]:
        """Count a batch whose tasks were of these groups; the groups of its outputs."""
        roots = [self._find(group) for group in groups]
        if len(set(roots)) == 1:  # the usual case where batches hold one task, or all come from one file
            return self._record_alone(stage, roots[0], report)
        made: list[int] = []
        for parent in report.parents:
            made.append(roots[parent] if isinstance(parent, int) else self._merge(roots[parent[0] : parent[1]]))
        made = [self._find(group) for group in made]
        roots = [self._find(group) for group in roots]
        with_output = {p for parent in report.parents for p in _span(parent)}
        failed = set(report.failed_inputs)
        items = _of_each(report.items_of_inputs, report.items_in, len(roots))
        for position, group in enumerate(roots):
            tally = self._groups[group].tallies.setdefault(stage, Tally())
            tally.tasks_in += 1
            tally.items_in += items[position]
            tally.tasks_filtered += position not in failed and position not in with_output
        for group, count in zip(made, _of_each(report.items_of_outputs, report.items_out, len(made)), strict=True):
            tally = self._groups[group].tallies.setdefault(stage, Tally())
            tally.tasks_out += 1
            tally.items_out += count
            self._groups[group].in_flight += 1
        for position, record in zip(report.failed_inputs, report.failures, strict=True):
            state = self._groups[roots[position]]
            state.failures.append(record)
            state.tallies[stage].tasks_failed += 1
            state.tallies[stage].items_failed += items[position]
        for position, record in report.rows_left_out:
            state = self._groups[roots[position]]
            state.failures.append(record)
            state.tallies[stage].rows_failed += record.rows or 1
        for group in roots:
            self._groups[group].in_flight -= 1
        for group in set(roots):
            self._settle(group)
        return made

    def _record_alone(self, stage: int, group: int, report: BatchReport) -> list[int]:
        state = self._groups[group]
        failed = len(report.failures)
        rows = sum(record.rows or 1 for _, record in report.rows_left_out)
        state.tallies.setdefault(stage, Tally()).add(
            Tally(
                report.tasks_in, report.tasks_out, report.tasks_filtered, failed,
                report.items_in, report.items_out, report.items_failed, rows,
            )
        )  # fmt: skip
        state.failures += [*report.failures, *(record for _, record in report.rows_left_out)]
        state.in_flight += report.tasks_out - report.tasks_in
        self._settle(group)
        return [group] * report.tasks_out

    def finish(self, tasks: Sequence[Any], groups: Sequence[int]) -> None:
        """These tasks have left the last stage and have reached the driver."""
        roots = [self._find(group) for group in groups]
        for task, group in zip(tasks, roots, strict=True):
            state = self._groups[group]
            state.outputs.append(task)
            state.in_flight -= 1
        for group in set(roots):
            self._settle(group)

    def _settle(self, group: int) -> None:
        state = self._groups.get(group)
        if state is None or state.in_flight:
            return
        del self._groups[group]
        self.outputs += state.outputs
        self.failures += state.failures
        for stage, tally in state.tallies.items():
            self.settled[stage].add(tally)

    def _merge(self, roots: Sequence[int]) -> int:
        first = self._find(roots[0])
        for root in roots[1:]:
            other = self._find(root)
            if other != first:
                self._groups[first].take(self._groups.pop(other))
                self._merged[other] = first
        return first

    def _find(self, group: int) -> int:
        while (parent := self._merged.get(group)) is not None:
            group = parent
        return group


def _of_each(items: Sequence[int], total: int, count: int) -> Sequence[int]:
    """The items of each task; where only their sum is known, as equal as whole numbers can be."""
    if len(items) == count:
        return items
    return [total * (position + 1) // count - total * position // count for position in range(count)]


def _span(parent: int | tuple[int, int]) -> range:
    return range(parent, parent + 1) if isinstance(parent, int) else range(*parent)
