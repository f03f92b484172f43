"""One run and its status as plain data: what `--json` prints and what the text views show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from curator_slurm.launcher.errors import (
    RunCancelledError,
    RunFailedError,
    RunIncompleteError,
    SlurmError,
    StorageError,
)
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import SubmissionRecord, latest_submission, read_submissions
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.decide import Decision

_EXIT_CODES = {
    RunState.FAILED: RunFailedError.exit_code,
    RunState.INCOMPLETE: RunIncompleteError.exit_code,
    RunState.CANCELLED: RunCancelledError.exit_code,
}


def exit_code(run: Run, decision: Decision) -> int:
    """What a command that reports this status exits with."""
    if decision.state is not RunState.UNKNOWN:
        return _EXIT_CODES.get(decision.state, 0)
    if run.record is None:
        return StorageError.exit_code
    return 0 if run.record.is_local else SlurmError.exit_code


def describe(run: Run, decision: Decision) -> dict[str, Any]:
    """Everything that `status --json` prints of a run."""
    record = run.record
    latest = _latest(run)
    return {
        "schema": 1,
        "run_id": run.run_id,
        "name": run.name,
        "cluster": record.cluster if record else None,
        "job_id": latest.job_id if latest else None,
        **decision.to_json(),
        "created": record.created if record else None,
        "submitted": latest.submitted if latest else None,
        "cancelled": record.cancelled if record else None,
        "user": record.user if record else None,
        "host": record.host if record else None,
        "version": record.version if record else None,
        "spec_path": record.spec_path if record else None,
        "paths": _paths(run, decision),
    }


def _latest(run: Run) -> SubmissionRecord | None:
    """The submission that counts; None where there is none, or none that can be read."""
    with contextlib.suppress(StorageError):
        latest = latest_submission(read_submissions(run.paths))
        return latest.record if latest else None
    return None


def newest_attempt(run: Run) -> AttemptPaths | None:
    """The attempt whose files a user wants to see."""
    attempts = run.paths.existing_attempts()
    return attempts[-1] if attempts else None


def _paths(run: Run, decision: Decision) -> dict[str, str | None]:
    attempt = newest_attempt(run)
    latest = _latest(run)
    slurm_log = run.paths.slurm_log(latest.job_id) if latest and latest.job_id else None
    outputs = decision.outputs or (str(run.paths.outputs) if run.paths.outputs.exists() else None)
    return {
        "run_dir": str(run.paths.root),
        "script": str(run.paths.script),
        "plan": str(run.paths.plan),
        "slurm_log": str(slurm_log) if slurm_log and slurm_log.exists() else None,
        "attempt": str(attempt.root) if attempt else None,
        "driver_log": str(attempt.driver_log) if attempt and attempt.driver_log.exists() else None,
        "failures": str(attempt.failures) if attempt and attempt.failures.exists() else None,
        "outputs": outputs,
    }


def _shards(run: Run, decision: Decision) -> str | None:
    """`73/200` of a sharded run."""
    if run.record is None or not run.record.array:
        return None
    done = decision.stages[0]["tasks_in"] if decision.stages else "?"
    return f"{done}/{run.record.shards}"


def rows(runs: Iterable[Run], decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """What `list` shows of each run."""
    return [
        {
            "run_id": run.run_id,
            "name": run.name,
            "state": decision.state,
            "failure_class": decision.failure_class,
            "shards": _shards(run, decision),
            "cluster": run.record.cluster if run.record else None,
            "job_id": run.record.job_ids[-1] if run.record and run.record.job_ids else None,
            "created": run.record.created if run.record else None,
            "started": decision.started,
            "ended": decision.ended,
            "message": run.problem or decision.message,
            "run_dir": str(run.paths.root),
        }
        for run, decision in zip(runs, decisions, strict=True)
    ]
