"""What stages have counted of source partitions that are finished, as it is recorded together with them.

A record and its counts are one line of a log, so that either both have survived or neither: what ran again after an
interruption is counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.common.json_fields import whole

COUNTED = ("tasks_in", "tasks_out", "tasks_filtered", "items_in", "items_out", "rows_failed")
"""What is counted of each stage. Tasks that fail keep their partition open, so that there are none."""


@dataclass
class Work:
    """Counts of each stage, in the order of COUNTED, and the class of what each puts out, where it is known."""

    counts: list[list[int]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    @classmethod
    def of_stages(cls, stages: int) -> Work:
        """Nothing, of so many stages."""
        return cls([[0] * len(COUNTED) for _ in range(stages)], [""] * stages)

    def add(self, other: Work) -> None:
        """Add other work of the same stages; of none, where nothing was counted so far."""
        if not other.counts:
            return
        if not self.counts:
            self.counts, self.kinds = [[0] * len(COUNTED) for _ in other.counts], [""] * len(other.counts)
        for mine, more in zip(self.counts, other.counts, strict=True):
            mine[:] = [a + b for a, b in zip(mine, more, strict=True)]
        self.kinds = [mine or more for mine, more in zip(self.kinds, other.kinds, strict=True)]

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "kinds": self.kinds}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Work | None:
        """What a line says; None where it says nothing, or cannot be right."""
        counts, kinds = value.get("counts"), value.get("kinds")
        if not isinstance(counts, list) or not counts or not isinstance(kinds, list) or len(kinds) != len(counts):
            return None
        rows = [_row(each) for each in counts]
        known = [row for row in rows if row is not None]
        if len(known) < len(rows) or not all(isinstance(kind, str) for kind in kinds):
            return None
        return cls(known, list(kinds))


def _row(value: Any) -> list[int] | None:
    if not isinstance(value, list) or len(value) != len(COUNTED):
        return None
    found = [count for each in value if (count := whole(each)) is not None and count >= 0]
    return found if len(found) == len(COUNTED) else None


@dataclass(frozen=True)
class Part:
    """Sources that were recorded together, and the work that they were, where it is known."""

    sources: frozenset[str]
    work: Work | None


@dataclass(frozen=True)
class WorkBefore:
    """What earlier attempts have finished: so many sources, of which `uncounted` are not in `work`."""

    sources: int = 0
    uncounted: int = 0
    work: Work = field(default_factory=Work)


def distinct(files: Iterable[Sequence[Part]]) -> Iterator[Part]:
    """The parts that files of a folder record, each source in one of them.

    Where one that takes over dies before it has removed the logs that it has summed up, sources are in two files. A
    part of which some sources are in another loses its work, which cannot be divided.
    """
    seen: set[str] = set()
    torn: list[Part] = []
    for parts in sorted(files, key=lambda each: -sum(len(part.sources) for part in each)):
        for part in parts:
            if seen.isdisjoint(part.sources):
                seen |= part.sources
                yield part
            else:
                torn.append(part)
    for part in torn:
        if new := part.sources - seen:
            seen |= new
            yield Part(new, None)


def work_of(files: Iterable[Sequence[Part]]) -> WorkBefore:
    """The work that files of a folder record, each source counted once."""
    work = Work()
    sources = uncounted = 0
    for part in distinct(files):
        sources += len(part.sources)
        if part.work is not None and (not work.counts or len(work.counts) == len(part.work.counts)):
            work.add(part.work)
        else:
            uncounted += len(part.sources)
    return WorkBefore(sources, uncounted, work)
