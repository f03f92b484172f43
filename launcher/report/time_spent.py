"""Which second went where: spans of queue, nodes and drivers, from what each of them has reached when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curator_slurm.launcher.report.gather_report import JobRecord, Records
from curator_slurm.launcher.report.report_model import Span, Timeline
from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.phases import Phase

QUEUE = "waiting in the queue"
SCRIPT = "script and shell"
CHECKS = "checks"
RAY = "Ray starts"
NODES = "waiting for nodes"
PIPELINE = "pipeline starts"
WORK = "working"
DRAIN = "draining"
PUBLISH = "publishing"
BETWEEN = "between shards"
TEARDOWN = "teardown"
ORDER = (QUEUE, SCRIPT, CHECKS, RAY, NODES, PIPELINE, WORK, DRAIN, PUBLISH, BETWEEN, TEARDOWN)
"""Everything that a span may be about, in the order in which it comes."""

_OF_NODE = {
    Phase.SCRIPT: SCRIPT, Phase.AGENT: CHECKS, Phase.PREFLIGHT: RAY, Phase.JOINED: NODES, Phase.ENDING: TEARDOWN,
}  # fmt: skip
"""What begins when a node has reached this."""
_OF_JOB = {
    Phase.CLUSTER_READY: PIPELINE, Phase.DRIVER_STARTED: PIPELINE, Phase.FIRST_BATCH: WORK, Phase.DRIVER_ENDED: PUBLISH,
    Phase.PUBLISHED: BETWEEN,
}  # fmt: skip
"""And for all nodes that have joined, when the job or a driver has."""


def timeline_of_run(records: Records) -> Timeline:
    """All spans, and the seconds of all nodes together for each kind."""
    spans = [*_queue(records)]
    for job in records.jobs:
        spans += _spans_of(job, _end_of(job, records))
    seconds = dict.fromkeys(ORDER, 0.0)
    for span in spans:
        seconds[span.what] += span.end - span.start
    found = {what: round(value, 3) for what, value in seconds.items() if value}
    return Timeline(spans=tuple(spans), seconds=found, omitted=records.omitted_jobs)


def _queue(records: Records) -> Iterator[Span]:
    """From each submission to the first script of its jobs, or until now where none has begun yet."""
    view = records.view
    for submission in view.submissions:
        if submission.submitted is None or submission.job_id is None:
            continue
        begun = min(_begins(records, submission.job_id), default=None)
        now = submission.submitted if view.state.is_final else records.now
        end = begun if begun is not None else now
        if end > submission.submitted:
            row = f"queue, job {submission.job_id}"
            yield Span(element=f"{submission.job_id}.0", row=row, what=QUEUE, start=submission.submitted, end=end)


def _begins(records: Records, job_id: str) -> Iterator[float]:
    """When the jobs of a submission began: their scripts, and attempts of those whose phases are not read."""
    for job in records.jobs:
        if base_of(job.name).partition("_")[0] == job_id:
            yield from (at for _, _, _, at in job.phases)
    for attempt in records.attempts:
        if attempt.job_id.partition("_")[0] == job_id and attempt.started is not None:
            yield attempt.started


def _end_of(job: JobRecord, records: Records) -> float | None:
    """When the last was seen of it; of one that goes on, now."""
    if job.outcome is not None and job.outcome.ended is not None:
        return job.outcome.ended
    if not records.view.state.is_final and job is records.jobs[-1]:
        return records.now
    return job.last_sign or max((at for _, _, _, at in job.phases), default=None)


def _spans_of(job: JobRecord, end: float | None) -> Iterator[Span]:
    """The spans of every node of a job."""
    script = next((at for phase, _, _, at in job.phases if phase is Phase.SCRIPT), None)
    common = sorted((at, _OF_JOB[phase]) for phase, _, _, at in job.phases if phase in _OF_JOB)
    common = sorted([*common, *((at, DRAIN) for at in job.draining)])
    for node in sorted({node for _, node, _, _ in job.phases if node is not None}):
        own = {phase: at for phase, name, _, at in job.phases if name == node}
        if script is not None:
            own.setdefault(Phase.SCRIPT, script)
        lost = job.lost.get(node)
        left = own.get(Phase.LEFT, end if lost is None else lost)
        points = [point for point in _points(own, common) if lost is None or point[0] <= lost]
        if not points:
            continue
        last = max(left if left is not None else points[-1][0], points[-1][0])
        yield from _merged(job.name, f"{node}", [*points, (last, "")])


def _points(own: dict[Phase, float], common: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """What begins when on a node: what the job does counts for it from when it has joined until its end."""
    points = [(at, _OF_NODE[phase]) for phase, at in own.items() if phase in _OF_NODE]
    joined, ending = own.get(Phase.JOINED), own.get(Phase.ENDING)
    if joined is not None:
        before = [what for at, what in common if at <= joined]
        points += [(joined, before[-1])] if before else []
        points += [(at, what) for at, what in common if joined < at and (ending is None or at < ending)]
    order = {what: number for number, what in enumerate(ORDER)}
    return sorted(points, key=lambda point: (point[0], order[point[1]]))


def _merged(element: str, row: str, points: Sequence[tuple[float, str]]) -> Iterator[Span]:
    start, what = points[0]
    for at, following in points[1:]:
        if following != what:
            if at > start:
                yield Span(element=element, row=row, what=what, start=round(start, 3), end=round(at, 3))
            start, what = at, following
