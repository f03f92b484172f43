"""From a run and its status to what is shown of it: the views of `status`, `status --shard` and `list`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.common.json_fields import moment, whole
from curator_slurm.launcher.errors import (
    RunCancelledError,
    RunFailedError,
    RunIncompleteError,
    SlurmError,
    StorageError,
    UsageError,
)
from curator_slurm.launcher.failure_classes import blame_of
from curator_slurm.launcher.files import is_there, read_object
from curator_slurm.launcher.ranges import format_numbers, some_numbers
from curator_slurm.launcher.runs.done_records import read_done
from curator_slurm.launcher.runs.manifest import read_shard
from curator_slurm.launcher.runs.owners import owner_of
from curator_slurm.launcher.runs.purge import purge_warning
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import DoneRecord
from curator_slurm.launcher.runs.submissions import Submission, collect_jobs, latest_submission, submission_of
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_files import attempts_at
from curator_slurm.launcher.status.attempt_history import attempts_of, usage_of
from curator_slurm.launcher.status.describe_attempts import bad_nodes_of, eta_of
from curator_slurm.launcher.status.gather import Gathered
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.shard_status import NO_DETAIL, ShardState, ShardStatus
from curator_slurm.launcher.status.views import (
    CollectedView,
    DoneView,
    InputView,
    OpenShard,
    RunFiles,
    RunningShard,
    RunRow,
    RunView,
    ShardFiles,
    ShardGroup,
    ShardsView,
    ShardView,
    SubmissionView,
)

SAMPLE = 100
"""Done records that are read to tell how long a shard takes."""
MOST_RECORDS = 1000
"""Done records that are read to tell which shards have kept nothing."""
SLOWEST = 5
FAILING = 5

_EXIT_CODES = {
    RunState.FAILED: RunFailedError.exit_code,
    RunState.INCOMPLETE: RunIncompleteError.exit_code,
    RunState.CANCELLED: RunCancelledError.exit_code,
}


def exit_code(run: Run, status: RunStatus) -> int:
    """What a command that reports this status exits with."""
    if status.state is not RunState.UNKNOWN:
        return _EXIT_CODES.get(status.state, 0)
    if run.record is None or status.unreadable:
        return StorageError.exit_code
    return 0 if run.record.is_local else SlurmError.exit_code


# A run


def _current_submission(submissions: Sequence[Submission], gathered: Gathered | None) -> Submission | None:
    """The newest that may have reached Slurm; of a chain, the one whose turn it is."""
    place = gathered.facts.places.get(0) if gathered is not None else None
    if place is not None and any(each.record.link_of is not None for each in submissions):
        return submission_of(submissions, place.submission)
    return latest_submission(submissions)


def describe(run: Run, status: RunStatus, gathered: Gathered | None) -> RunView:
    """Everything about a run, but not each of its shards; `gathered` is None where its files cannot be read."""
    record = run.record
    submissions = gathered.submissions if gathered else ()
    latest = _current_submission(submissions, gathered)
    detail = status.only.detail if status.only else NO_DETAIL
    attempts = attempts_of(run, 0, status.only, gathered.facts.now) if gathered and status.only else ()
    return RunView(
        run_id=run.run_id,
        name=run.name,
        cluster=record.cluster if record else None,
        array=record.array if record else False,
        job_id=latest.record.job_id if latest else None,
        state=status.state,
        failure_class=status.failure_class,
        blame=blame_of(status.failure_class),
        message=status.message,
        next_step=status.next_step,
        warnings=(*status.warnings, *_empty_shards(run, status, gathered), *_purge(run, status, gathered)),
        never_starts=status.never_starts,
        evidence=detail.evidence,
        nodes=detail.nodes,
        node_reports=detail.node_reports,
        bad_nodes=bad_nodes_of(run),
        exit_code=detail.exit_code if status.state.is_final else None,
        stages=detail.progress.stages,
        pipeline=detail.progress.pipeline,
        earlier=detail.progress.earlier,
        tasks_failed=detail.progress.tasks_failed,
        rows_failed=detail.progress.rows_failed,
        notes=detail.progress.notes,
        object_store=detail.progress.object_store,
        restarts=status.restarts,
        attempts=attempts,
        usage=usage_of(attempts, status.restarts) if attempts else None,
        eta_s=eta_of(status, gathered, attempts),
        shards=_shards(run, status, gathered),
        submissions=tuple(map(_submission, submissions)),
        collect_jobs=tuple(collect_jobs(run.paths)),
        collected=_collected(run),
        created=record.created if record else None,
        submitted=latest.record.submitted if latest else None,
        started=status.started,
        ended=status.ended,
        cancelled=record.cancelled if record else None,
        user=record.user if record else None,
        owner=owner_of(run.paths.root),
        host=record.host if record else None,
        version=record.version if record else None,
        spec_path=record.spec_path if record else None,
        paths=_files(run, status),
    )


def _shards(run: Run, status: RunStatus, gathered: Gathered | None) -> ShardsView:
    classes = {
        failure.value: ShardGroup(count=len(shards), shards=format_numbers(shards))
        for failure, shards in status.classes.items()
    }
    now = gathered.facts.now if gathered else 0.0
    counts = status.counts
    return ShardsView(
        total=status.total,
        **{state.value: counts.get(state, 0) for state in ShardState},
        failed_by_class=classes,
        running_shards=format_numbers(each.shard for each in status.of(ShardState.RUNNING)),
        rate_per_hour=status.rate * 3600 if status.rate else None,
        eta_s=status.eta_s,
        typical_s=_typical(run, gathered) if gathered and status.total > 1 else None,
        slowest=tuple(_running(each, now) for each in _slowest(status)),
        failing=tuple(_open(each) for each in _failing(status)),
    )


def _empty_shards(run: Run, status: RunStatus, gathered: Gathered | None) -> Iterator[str]:
    """Which shards of a run that is over have kept nothing; the newest done records are looked at."""
    if gathered is None or status.total == 1 or not status.state.is_final:
        return
    looked_at = list(gathered.facts.done)[-MOST_RECORDS:]
    found: dict[int, str] = {}
    for shard in looked_at:
        with contextlib.suppress(ValueError, OSError):
            record = read_done(run.paths, shard)
            if record is not None and record.nothing_kept:
                found[shard] = record.nothing_kept
    if found:
        first = min(found)
        which = f"{len(found):,} of {several(len(looked_at), 'shard')} ({some_numbers(found)})"
        yield f"{which} kept nothing; shard {first}: {found[first]}"


def _purge(run: Run, status: RunStatus, gathered: Gathered | None) -> Iterator[str]:
    """Whether the site is about to delete what a retry of the run needs."""
    if gathered is not None and status.state is not RunState.COMPLETED:
        warning = purge_warning(run, sorted(gathered.facts.done), gathered.facts.now)
        yield from filter(None, [warning])


def _slowest(status: RunStatus) -> list[ShardStatus]:
    """The running shards that have taken longest."""
    running = [each for each in status.of(ShardState.RUNNING) if each.started is not None]
    return sorted(running, key=lambda each: (each.started or 0.0, each.shard))[:SLOWEST]


def _failing(status: RunStatus) -> list[ShardStatus]:
    """The failed shards with most attempts."""
    return sorted(status.of(ShardState.FAILED), key=lambda each: (-each.attempts, each.shard))[:FAILING]


def _running(status: ShardStatus, now: float) -> RunningShard:
    took = now - status.started if status.started is not None else None
    return RunningShard(shard=status.shard, job_id=status.job_id, seconds=took)


def open_shards(status: RunStatus) -> tuple[OpenShard, ...]:
    """Every shard that is neither done nor active."""
    return tuple(_open(each) for each in status.open if not each.state.is_active)


def _open(status: ShardStatus) -> OpenShard:
    return OpenShard(
        shard=status.shard,
        state=status.state,
        failure_class=status.failure_class,
        blame=blame_of(status.failure_class),
        message=status.message,
        next_step=status.next_step,
        job_id=status.job_id,
        attempt=status.attempt,
        attempts=status.attempts,
    )


def _submission(submission: Submission) -> SubmissionView:
    record = submission.record
    return SubmissionView(
        number=record.number,
        purpose=record.purpose,
        job_id=record.job_id,
        submitted=record.submitted,
        elements=record.elements,
        shards=record.shards,
        max_running=record.max_running,
        changes=dict(record.changes),
        refused=record.refused or None,
    )


def _typical(run: Run, gathered: Gathered) -> float | None:
    """The median time that a shard took, of some."""
    times = []
    for shard in list(gathered.facts.done)[-SAMPLE:]:
        with contextlib.suppress(ValueError, OSError):
            record = read_done(run.paths, shard)
            if record is not None:
                times.append(record.published - record.started)
    if not times:
        return None
    from statistics import median

    return median(times)


def _collected(run: Run) -> CollectedView | None:
    value = read_object(run.paths.collected)
    if value is None or not isinstance(value.get("target"), str):
        return None
    return CollectedView(
        target=value["target"],
        complete=bool(value.get("complete")),
        time=moment(value.get("time")),
        files=whole(value.get("files")),
        rows=whole(value.get("rows")),
        bytes=whole(value.get("bytes")),
        tasks_failed=whole(value.get("tasks_failed")),
        rows_failed=whole(value.get("rows_failed")),
    )


def _files(run: Run, status: RunStatus) -> RunFiles:
    attempt, element_id = None, None
    if status.only is not None:
        attempts = attempts_at(run.paths, 0)
        named = [each for each in attempts if each.name == status.only.attempt]
        attempt, element_id = next(iter(named), None), status.only.job_id
    log = run.paths.slurm_log(element_id) if element_id else None
    return RunFiles(
        run_dir=str(run.paths.root),
        script=str(run.paths.script),
        plan=str(run.paths.plan),
        manifest=str(run.paths.manifest),
        outputs=_outputs(run, status),
        slurm_log=_existing(log),
        attempt=str(attempt.root) if attempt else None,
        driver_log=_existing(attempt.driver_log if attempt else None),
        failures=_existing(attempt.failures if attempt else None),
    )


def _outputs(run: Run, status: RunStatus) -> str | None:
    collected = _collected(run)
    if collected is not None:
        return collected.target
    if status.only is not None and status.only.detail.outputs:
        return status.only.detail.outputs
    target = run.paths.outputs if run.record is None or run.record.array else run.paths.shard_outputs(0)
    return _existing(target)


def _existing(path: Path | None) -> str | None:
    return str(path) if path is not None and is_there(path) else None


# Many runs


def rows(runs: Iterable[Run], statuses: Iterable[RunStatus]) -> list[RunRow]:
    """What `list` shows of each run."""
    return [_row(run, status) for run, status in zip(runs, statuses, strict=True)]


def _row(run: Run, status: RunStatus) -> RunRow:
    record = run.record
    return RunRow(
        run_id=run.run_id,
        name=run.name,
        state=status.state,
        failure_class=status.failure_class,
        blame=blame_of(status.failure_class),
        array=record.array if record else False,
        shards=record.shards if record else None,
        shards_done=status.done if record else None,
        restarts=status.restarts,
        cluster=record.cluster if record else None,
        job_id=record.job_ids[-1] if record and record.job_ids else None,
        created=record.created if record else None,
        started=status.started,
        ended=status.ended,
        message=run.problem or status.message,
        run_dir=str(run.paths.root),
        owner=owner_of(run.paths.root),
    )


# One shard


def describe_shard(run: Run, gathered: Gathered, status: RunStatus, shard: int) -> ShardView:
    """Everything about one shard that was gathered in detail: its files, its attempts, what came of it.

    Raises:
        UsageError: there is no such shard.
    """
    if shard >= status.total:
        raise UsageError(f"there is no shard {shard}: the shards of the run are 0 to {status.total - 1}")
    found, place = status.details[shard], gathered.facts.places.get(shard)
    detail, paths = found.detail, run.paths
    record = None
    with contextlib.suppress(ValueError, OSError):
        record = read_done(paths, shard) if found.state is ShardState.DONE else None
    planned = read_shard(paths.manifest, shard)
    attempt = paths.attempts_of(shard) / found.attempt if found.attempt else None
    return ShardView(
        run_id=run.run_id,
        name=run.name,
        shard=shard,
        state=found.state,
        failure_class=found.failure_class,
        blame=blame_of(found.failure_class),
        message=found.message,
        next_step=found.next_step,
        reason=found.reason,
        job_id=place.element_id or None if place else None,
        submission=place.submission if place else None,
        evidence=detail.evidence,
        nodes=detail.nodes,
        node_reports=detail.node_reports,
        exit_code=detail.exit_code,
        stages=detail.progress.stages,
        pipeline=detail.progress.pipeline,
        earlier=detail.progress.earlier,
        tasks_failed=detail.progress.tasks_failed,
        rows_failed=detail.progress.rows_failed,
        notes=detail.progress.notes,
        object_store=detail.progress.object_store,
        started=found.started,
        ended=detail.ended,
        warnings=(*status.warnings, *detail.warnings),
        done=_done(record) if record else None,
        input=InputView(files=len(planned.files), bytes=planned.bytes, paths=tuple(planned.paths)),
        attempts=attempts_of(run, shard, found, gathered.facts.now),
        paths=ShardFiles(
            outputs=str(paths.shard_outputs(shard)), done=str(paths.done(shard)), attempt=_existing(attempt)
        ),
    )


def _done(record: DoneRecord) -> DoneView:
    return DoneView(
        attempt=record.attempt,
        started=record.started,
        published=record.published,
        files=len(record.files),
        rows=record.rows,
        bytes=record.bytes,
        tasks_failed=record.tasks_failed,
        rows_failed=record.rows_failed,
    )
