"""The shards of a run as bars: from when to when, how large, what came of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from curator_slurm.launcher.report.gather_report import Records
from curator_slurm.launcher.report.report_model import ShardBar
from curator_slurm.launcher.status.shard_status import ShardState


def shard_bars(records: Records) -> tuple[ShardBar, ...]:
    """All of them, by number."""
    return tuple(sorted([*_done(records), *_open(records)], key=lambda bar: bar.shard))


def _attempts(records: Records) -> Counter[int]:
    return Counter(attempt.shard for attempt in records.attempts)


def _done(records: Records) -> Iterator[ShardBar]:
    attempts = _attempts(records)
    for shard, record in records.done.items():
        yield ShardBar(
            shard=shard,
            state=ShardState.DONE,
            failure_class=None,
            attempts=attempts[shard],
            started=record.started,
            ended=record.published,
            bytes=records.sizes.get(shard),
            rows=record.rows,
            message="",
        )


def _open(records: Records) -> Iterator[ShardBar]:
    attempts = _attempts(records)
    newest = {attempt.shard: attempt for attempt in records.attempts}
    for status in records.status.open:
        last = newest.get(status.shard)
        started = status.started if status.started is not None else last.started if last else None
        active = status.state in (ShardState.RUNNING, ShardState.DRAINING)
        yield ShardBar(
            shard=status.shard,
            state=status.state,
            failure_class=status.failure_class,
            attempts=attempts[status.shard],
            started=started,
            ended=None if started is None else records.now if active else last.ended if last else None,
            bytes=records.sizes.get(status.shard),
            rows=None,
            message=status.message,
        )
