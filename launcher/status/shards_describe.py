"""A sharded run as plain data: what `status --json` prints and what the text view shows."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.ranges import format_numbers
from curator_slurm.launcher.runs.done_records import read_done
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, collect_jobs
from curator_slurm.launcher.status.shards_decide import ShardsDecision, ShardState, ShardStatus
from curator_slurm.launcher.status.shards_gather import Gathered, attempt_order

SAMPLE = 100
"""Done records that are read to tell how long a shard takes."""
SLOWEST = 5
FAILING = 5


def describe(run: Run, gathered: Gathered, decision: ShardsDecision) -> dict[str, Any]:
    """Everything about the run and its shards, but not each of thousands of them."""
    record = run.record
    assert record is not None
    classes = {failure.value: _group(shards) for failure, shards in decision.classes.items()}
    return {
        "schema": 1,
        "run_id": run.run_id,
        "name": run.name,
        "cluster": record.cluster,
        "state": decision.state,
        "failure_class": next(iter(classes), None) if decision.state.is_final else None,
        "message": decision.message,
        "next_step": decision.next_step,
        "warnings": list(decision.warnings),
        "shards": {
            "total": decision.total,
            **{state.value: decision.counts.get(state, 0) for state in ShardState},
            "failed_by_class": classes,
            "running_shards": format_numbers(status.shard for status in decision.of(ShardState.RUNNING)),
            "rate_per_hour": decision.rate * 3600 if decision.rate else None,
            "eta_s": decision.eta_s,
            "typical_s": _typical(run, gathered),
            "slowest": [_running(status, gathered.facts.now) for status in slowest(decision)],
            "failing": [_failed(status) for status in failing(decision)],
        },
        "submissions": [_submission(submission) for submission in gathered.submissions],
        "finishing_jobs": collect_jobs(run.paths),
        "collected": _collected(run),
        "created": record.created,
        "started": decision.started,
        "ended": decision.ended,
        "cancelled": record.cancelled,
        "user": record.user,
        "host": record.host,
        "version": record.version,
        "spec_path": record.spec_path,
        "paths": {
            "run_dir": str(run.paths.root),
            "script": str(run.paths.script),
            "plan": str(run.paths.plan),
            "manifest": str(run.paths.manifest),
            "outputs": _outputs(run),
        },
    }


def _group(shards: Sequence[int]) -> dict[str, Any]:
    return {"count": len(shards), "shards": format_numbers(shards)}


def slowest(decision: ShardsDecision) -> list[ShardStatus]:
    """The running shards that have taken longest."""
    running = [status for status in decision.of(ShardState.RUNNING) if status.started is not None]
    return sorted(running, key=lambda status: (status.started or 0.0, status.shard))[:SLOWEST]


def failing(decision: ShardsDecision) -> list[ShardStatus]:
    """The failed shards with most attempts."""
    return sorted(decision.of(ShardState.FAILED), key=lambda status: (-status.attempts, status.shard))[:FAILING]


def failed_rows(decision: ShardsDecision) -> list[dict[str, Any]]:
    """Every shard that is not done and not active."""
    over = [status for status in decision.open if not status.state.is_active]
    return [_failed(status) for status in over]


def _running(status: ShardStatus, now: float) -> dict[str, Any]:
    took = now - status.started if status.started is not None else None
    return {"shard": status.shard, "job_id": status.job_id, "seconds": took}


def _failed(status: ShardStatus) -> dict[str, Any]:
    return {
        "shard": status.shard,
        "state": status.state,
        "failure_class": status.failure_class,
        "message": status.message,
        "next_step": status.next_step,
        "job_id": status.job_id,
        "attempt": status.attempt,
        "attempts": status.attempts,
    }


def _submission(submission: Submission) -> dict[str, Any]:
    record = submission.record
    return {
        "number": record.number,
        "purpose": record.purpose,
        "job_id": record.job_id,
        "submitted": record.submitted,
        "elements": record.elements,
        "shards": record.shards,
        "max_running": record.max_running,
        "changes": dict(record.changes),
        "refused": record.refused or None,
    }


def _typical(run: Run, gathered: Gathered) -> float | None:
    """The median time that a shard took, of some."""
    times = []
    for shard in list(gathered.facts.done)[-SAMPLE:]:
        with contextlib.suppress(ValueError, OSError):
            record = read_done(run.paths, shard)
            if record is not None:
                times.append(record.published - record.started)
    return statistics.median(times) if times else None


def _collected(run: Run) -> dict[str, Any] | None:
    try:
        value = read_json(run.paths.collected)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    return {key: value.get(key) for key in ("target", "complete", "time", "files", "rows", "bytes", "tasks_failed")}


def _outputs(run: Run) -> str | None:
    collected = _collected(run)
    if collected is not None:
        return str(collected["target"])
    return str(run.paths.outputs) if run.paths.outputs.exists() else None


def shard_details(run: Run, gathered: Gathered, decision: ShardsDecision, shard: int) -> dict[str, Any]:
    """Everything about one shard: its files, its attempts, what came of it.

    Raises:
        UsageError: there is no such shard.
    """
    if shard >= decision.total:
        raise UsageError(f"there is no shard {shard}: the shards of the run are 0 to {decision.total - 1}")
    status = next((status for status in decision.open if status.shard == shard), None)
    record = None
    with contextlib.suppress(ValueError, OSError):
        record = read_done(run.paths, shard) if status is None else None
    place = gathered.facts.places.get(shard)
    return {
        "schema": 1,
        "run_id": run.run_id,
        "name": run.name,
        "shard": shard,
        "state": status.state if status else ShardState.DONE,
        "failure_class": status.failure_class if status else None,
        "message": status.message if status else "",
        "next_step": status.next_step if status else "",
        "reason": status.reason if status else "",
        "job_id": place.element_id if place else None,
        "submission": place.submission if place else None,
        "done": record.to_json() if record else None,
        "input": _input(run, shard),
        "attempts": list(_attempts(run, shard)),
        "paths": {"outputs": str(run.paths.shard_outputs(shard)), "done": str(run.paths.done(shard))},
    }


def _input(run: Run, shard: int) -> Mapping[str, Any]:
    from curator_slurm.launcher.runs.manifest import read_shard

    planned = read_shard(run.paths.manifest, shard)
    return {"files": len(planned.files), "bytes": planned.bytes, "paths": planned.paths}


def _attempts(run: Run, shard: int) -> Iterator[dict[str, Any]]:
    """What is known of every attempt at a shard, oldest first."""
    folder = run.paths.attempts / f"{shard:05d}"
    names = sorted((path.name for path in folder.glob("*") if path.is_dir()), key=attempt_order)
    for name in names:
        outcome: Any = None
        for path in (folder / name / "outcome.json", run.paths.elements / name / "outcome.json"):
            with contextlib.suppress(OSError, ValueError):
                outcome = outcome or read_json(path)
        known = outcome if isinstance(outcome, dict) else {}
        log = folder / name / "driver.log"
        yield {
            "attempt": name,
            **{key: known.get(key) for key in ("state", "failure_class", "message", "started", "ended")},
            "log": str(log) if log.exists() else None,
        }
