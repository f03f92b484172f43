"""When a site that deletes unused files would take those of a run; a dozen files are looked at, however many it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.launcher.runs.registry import Run

DAY_S = 86400.0
_MOST_DAYS = 14.0
_SHARE = 4
"""A run is warned of in the last two weeks, or in the last quarter of a shorter time."""
_RECORDS = 4
"""Done records at each end of their order that are looked at."""


def purge_warning(run: Run, done: Iterable[int], now: float) -> str:
    """What to say of a run that can be submitted again, and that its site is about to delete; empty for others.

    `done` are the shards that are, in their order. A file was used when it was last read or written.
    """
    days = run.record.purge_days if run.record is not None else None
    if days is None:
        return ""
    uses = [(used, path) for path in _files(run, list(done)) if (used := _last_use(path)) is not None]
    if not uses:
        return ""
    used, path = min(uses)
    left = days - (now - used) / DAY_S
    if left > min(_MOST_DAYS, days / _SHARE):
        return ""
    name = path.relative_to(run.paths.root)
    when = f"in {several(round(left), 'day')}" if left >= 1 else "from now on"
    return (
        f"this site deletes files that nobody has used for {several(days, 'day')} "
        f"(storage.purge_days), and {name} of this run "
        f"was used {several(round(days - left), 'day')} ago: its files may be deleted {when}, outputs included. Submit "
        f"it again or collect it before, or copy {run.paths.root} to storage that is kept"
    )


def _files(run: Run, done: list[int]) -> Iterator[Path]:
    paths = run.paths
    yield from (paths.spec, paths.plan, paths.script, paths.record, paths.manifest)
    for shard in {*done[:_RECORDS], *done[-_RECORDS:]}:
        yield paths.done(shard)


def _last_use(path: Path) -> float | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return max(found.st_atime, found.st_mtime)
