"""Gathers what the files of runs and Slurm say at this moment, for `status.decide`."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_slurm.launcher.errors import SlurmError, StorageError
from curator_slurm.launcher.files import read_json, read_jsonl
from curator_slurm.launcher.local_process import is_process_alive
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.registry import Run, RunRecord
from curator_slurm.launcher.runs.submissions import SubmissionRecord, latest_submission, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.parse import JobInfo
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.decide import AttemptFacts, Decision, Facts, decide
from curator_slurm.launcher.status.recover_job_ids import recover_job_ids
from curator_slurm.launcher.status.shards_gather import is_sharded
from curator_slurm.launcher.status.shards_views import brief_status, brief_statuses
from curator_slurm.launcher.tails import last_lines

RECENT_S = 3600.0
"""A job whose outcome is older than this is not asked for again: Slurm cannot run it once more."""
EVIDENCE_LINES = 15


@dataclass
class Jobs:
    """What Slurm answered: jobs by id, and the error where it could not be asked."""

    infos: Mapping[str, Sequence[JobInfo]] = field(default_factory=dict)
    error: str = ""

    def get(self, job_id: str | None) -> JobInfo | None:
        infos = self.infos.get(job_id, ()) if job_id else ()
        return infos[0] if infos else None


def status_of(run: Run, *, jobs: Jobs | None = None) -> Decision:
    """The status of one run, now; Slurm is asked unless its answer is given."""
    if is_sharded(run):
        return brief_status(run)
    attempt = read_attempt(run.paths)
    if attempt is None and run.record is not None and not run.record.is_local:
        with contextlib.suppress(SlurmError, StorageError):
            recover_job_ids(run.paths, read_submissions(run.paths), Slurm().commented)
    if jobs is None:
        jobs = ask_slurm([(run, attempt)], details=True)
    return decide_now(run, attempt, jobs)


def statuses_of(runs: Sequence[Run]) -> list[Decision]:
    """The status of many runs, with as many commands of Slurm as for one of each kind."""
    attempts = [(run, read_attempt(run.paths)) for run in runs if not is_sharded(run)]
    jobs = ask_slurm(attempts, details=False)
    plain = iter([decide_now(run, attempt, jobs) for run, attempt in attempts])
    sharded = iter(brief_statuses([run for run in runs if is_sharded(run)]))
    return [next(sharded if is_sharded(run) else plain) for run in runs]


def decide_now(run: Run, attempt: AttemptFacts | None, jobs: Jobs) -> Decision:
    """The status from these facts; a run that seems to have ended without an outcome gets a second look.

    Its outcome may have been written after its files were read and before Slurm, or the process table, was asked.
    """
    if run.record is None and (attempt is None or attempt.outcome is None):
        return Decision(state=RunState.UNKNOWN, message=f"This run cannot be read: {run.problem}.")
    decision = decide(gather(run, attempt, jobs))
    if decision.state.is_final and (attempt is None or attempt.outcome is None):
        decision = decide(gather(run, read_attempt(run.paths), jobs))
    return decision


def ask_slurm(runs: Sequence[tuple[Run, AttemptFacts | None]], *, details: bool) -> Jobs:
    """What Slurm says of the latest jobs of these runs, where that can still matter."""
    clusters: dict[str | None, dict[str, bool]] = {}
    now = time.time()
    for run, attempt in runs:
        job_id = job_id_of(run, attempt)
        if run.record is None or run.record.is_local or job_id is None:
            continue
        outcome = attempt.outcome if attempt and attempt.job_id == job_id else None
        if outcome is not None and now - float(outcome.get("ended") or 0) > RECENT_S:
            continue
        latest = latest_of(run)
        clusters.setdefault(latest.slurm_cluster if latest else None, {})[job_id] = outcome is None
    jobs = Jobs()
    for cluster, wanted in clusters.items():
        forgotten = {job_id for job_id, needed in wanted.items() if needed}
        try:
            answer = Slurm(cluster).job_states(wanted, details=details, forgotten=forgotten)
        except SlurmError as error:
            jobs.error = str(error)
        else:
            jobs.infos = {**jobs.infos, **answer}
    return jobs


def latest_of(run: Run) -> SubmissionRecord | None:
    """The newest submission; None where there is none, or none that can be read."""
    with contextlib.suppress(StorageError):
        latest = latest_submission(read_submissions(run.paths))
        return latest.record if latest else None
    return None


def job_id_of(run: Run, attempt: AttemptFacts | None) -> str | None:
    """The job that counts: the latest submission, or, where its record was lost, the one that left files."""
    latest = latest_of(run)
    if latest is not None:
        return latest.job_id
    return attempt.job_id if attempt else None


def gather(run: Run, attempt: AttemptFacts | None, jobs: Jobs) -> Facts:
    """The facts about one run."""
    record = run.record or RunRecord(run_id=run.run_id, name=run.name)
    job_id, latest = job_id_of(run, attempt), latest_of(run)
    job = None if record.is_local else jobs.get(job_id)
    over = attempt is not None and attempt.outcome is not None
    return Facts(
        run_id=run.run_id,
        now=time.time(),
        is_local=record.is_local,
        job_id=job_id,
        host=latest.host if latest else record.host,
        attempt=attempt,
        job=job,
        query_error="" if record.is_local else jobs.error,
        alive=_is_alive(latest) if record.is_local and not over else None,
        cancelled=record.cancelled,
        log_tail=[] if over else _log_tail(run.paths, job_id),
        nodes_wanted=1 if record.is_local else (len(job.nodes) if job else None),
    )


def read_attempt(paths: RunPaths) -> AttemptFacts | None:
    """What the files of the newest job and its attempt say, None where there are none yet."""
    elements = paths.existing_elements()
    return _attempt_facts(elements[-1]) if elements else None


def _attempt_facts(element: ClusterPaths) -> AttemptFacts:
    restart = element.name.rpartition(".")[2]
    heartbeat = None
    with contextlib.suppress(OSError):
        heartbeat = element.heartbeat.stat().st_mtime
    statuses = [_read_object(node.status) for node in element.existing_nodes()]
    return AttemptFacts(
        name=element.name,
        job_id=element.job_id,
        restart=int(restart) if restart.isdigit() else 0,
        outcome=_read_object(element.outcome),
        events=[event for event in read_jsonl(element.events) if isinstance(event, dict)],
        nodes=[status for status in statuses if status is not None],
        progress=_read_object(element.attempt(0).progress),
        heartbeat=heartbeat,
    )


def _read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`; None where there is none, or none that can be read."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _log_tail(paths: RunPaths, job_id: str | None) -> list[str]:
    """The last lines that the run logged: of its batch script, else of the agent of its first node."""
    candidates = [paths.slurm_log(job_id)] if job_id else []
    candidates += [node.agent_log for element in paths.existing_elements()[-1:] for node in element.existing_nodes()]
    for path in candidates:
        if lines := last_lines(path, EVIDENCE_LINES):
            return lines
    return []


def _is_alive(submission: SubmissionRecord | None) -> bool | None:
    """Whether the process of a local submission lives; None where this machine cannot tell."""
    if submission is None:
        return False
    if submission.host != socket.gethostname() or submission.pid is None:
        return None
    return is_process_alive(submission.pid, submission.pid_started)
