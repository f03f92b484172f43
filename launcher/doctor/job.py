"""The small job that looks at nodes: submitted like a run, waited for with a bound, and never left behind."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.doctor.machine_facts import JobFacts, MeetingFacts, NodeFacts
from curator_slurm.launcher.doctor.node_process import read_facts, read_meeting
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.files import folders_in
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.runs.attempt_records import NodeState, read_node_status
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.travelling_package import give_package
from curator_slurm.launcher.slurm.client import SbatchCall, Slurm, submit_command
from curator_slurm.launcher.slurm.job_info import JobInfo
from curator_slurm.launcher.survey.probe_jobs import ended_by_signals
from curator_slurm.launcher.tails import last_lines

AGENT = "curator_slurm.launcher.doctor.node_process"
LOOK_S, ASK_S = 0.5, 5.0
LATE_S = 20.0
"""How long files of a job that has ended may take to be seen."""
_LOG_LINES = 200
_SAID = re.compile(r"curator-slurm: ([A-Za-z0-9][\w.-]*):? (.*)")
_SIGNAL_OF_LOST_LOG = 53
"""Slurm's exit code of a job whose log could not be opened is 0:53."""


@dataclass
class Seen:
    """What the job has left, as far as it is there."""

    job: JobFacts = field(default_factory=JobFacts)
    facts: dict[str, NodeFacts] = field(default_factory=dict)
    meetings: dict[str, MeetingFacts] = field(default_factory=dict)


def run_job(plan: Plan, runs: Path, slurm: Slurm, *, wait_s: float, say: Callable[[str], None]) -> Seen:
    """Submit the job, wait for what its nodes say, and remove it and its folder."""
    try:
        place = Path(tempfile.mkdtemp(prefix=".doctor-", dir=runs))
    except OSError as error:
        step = "name another folder with storage.runs or $CURATOR_SLURM_RUNS"
        return Seen(JobFacts(problem=f"cannot write into {runs}: {storage_errors.what(error)}", step=step))
    job_id = ""
    try:
        with ended_by_signals():
            run = RunPaths(place)
            run.plan.write_text(plan.to_yaml(), encoding="utf-8")
            run.plan.chmod(0o600)
            run.script.write_text(render(plan, AGENT), encoding="utf-8")
            if plan.containers:
                give_package(run)
            submitted = time.time()
            try:
                comment = place.name.removeprefix(".")
                command = submit_command(place, run.script, SbatchCall(comment=comment))
                job_id = slurm.submit(command, place, comment).job_id
            except SlurmError as error:
                step = "correct what it names in the spec, or in a site file"
                return Seen(JobFacts(problem=f"Slurm refuses the job: {error}", step=step))
            say(f"job {job_id} submitted; waiting for its nodes")
            return _wait(run, job_id, slurm, submitted, time.monotonic() + wait_s, say)
    finally:
        if job_id:
            with contextlib.suppress(SlurmError):
                slurm.cancel([job_id])
        shutil.rmtree(place, ignore_errors=True)


def _wait(
    run: RunPaths, job_id: str, slurm: Slurm, submitted: float, deadline: float, say: Callable[[str], None]
) -> Seen:
    """Until all nodes have met, or the job has ended, or it is too late."""
    info: JobInfo | None = None
    over_since: float | None = None
    next_question = time.monotonic() + 1.0
    shown, answered = "", 0.0
    while True:
        seen = look(run, job_id)
        if seen.facts and not answered:
            answered = time.time()
        nodes = next((facts.nodes for facts in seen.facts.values()), ())
        complete = bool(nodes) and {*nodes} <= {*seen.meetings, *seen.job.refusals}
        _release(run, seen.job)
        late = over_since is not None and time.monotonic() - over_since > LATE_S
        ended = over_since is not None and bool(seen.facts or seen.job.refusals or seen.job.log)
        if complete or late or ended or time.monotonic() > deadline:
            break
        if time.monotonic() >= next_question:
            next_question = time.monotonic() + ASK_S
            info, is_over = _ask(slurm, job_id, info)
            over_since = (over_since or time.monotonic()) if is_over else None
            state = f"{info.state}{f' ({info.reason})' if info.reason else ''}" if info else ""
            if state and state != shown:
                shown = state
                say(f"job {job_id} is {state}")
        time.sleep(LOOK_S)
    times = {"submitted": submitted, "answered": answered}
    seen.job = _judged(seen, info, over=over_since is not None).model_copy(update=times)
    return seen


def _release(run: RunPaths, job: JobFacts) -> None:
    """Tell the nodes that do see each other of those for which they need not wait."""
    for element in folders_in(run.elements):
        for name in job.refusals:
            with contextlib.suppress(OSError):
                paths = ClusterPaths(element, run).node(name)
                paths.root.mkdir(parents=True, exist_ok=True)
                paths.refused.touch()


def _ask(slurm: Slurm, job_id: str, known: JobInfo | None) -> tuple[JobInfo | None, bool]:
    """What Slurm says of the job, and whether it is over; what was known, where it does not answer."""
    try:
        info = next(iter(slurm.job_states([job_id], details=True).get(job_id, [])), None)
    except SlurmError:
        return known, False
    return info or known, info is None or info.state.is_final


def look(run: RunPaths, job_id: str) -> Seen:
    """What is there now."""
    found = Seen()
    refusals: dict[str, tuple[str, str]] = {}
    for element in folders_in(run.elements):
        cluster = ClusterPaths(element, run)
        for folder in folders_in(cluster.nodes):
            if (facts := read_facts(cluster, folder.name)) is not None:
                found.facts[folder.name] = facts
            if (meeting := read_meeting(cluster, folder.name)) is not None:
                found.meetings[folder.name] = meeting
            status = read_node_status(cluster.node(folder.name))
            if status.get("state") == NodeState.FAILED:
                refusals[folder.name] = (str(status.get("message")), str(status.get("next_step") or ""))
    log = tuple(last_lines(run.slurm_log(job_id), _LOG_LINES))
    said = {name: words for name, words in refusals_in(log).items() if name not in found.facts}
    refusals = {**said, **refusals}
    found.job = JobFacts(job_id=job_id, refusals=refusals, log=tuple(line for line in log if line.strip()))
    return found


def refusals_in(log: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Node -> what it has said in the log of the job when it could not go on: with a next step, or as a question."""
    found = {}
    for line in log:
        match = _SAID.fullmatch(line.strip())
        if match and match[1] not in found and ("; " in match[2] or match[2].endswith("?")):
            message, _, step = match[2].partition("; ")
            found[match[1]] = (message, step or "put the runs folder (storage.runs) on storage that every node mounts")
    return found


def _judged(seen: Seen, info: JobInfo | None, *, over: bool) -> JobFacts:
    """The job with its nodes; a problem where it has said nothing at all."""
    nodes = next((facts.nodes for facts in seen.facts.values()), info.nodes if info else ())
    known = {*seen.facts, *seen.job.refusals}
    refusals: Mapping[str, tuple[str, str]] = {
        name: words for name, words in seen.job.refusals.items() if name in nodes or not nodes
    }
    silent = tuple(name for name in nodes if name not in known) if known else ()
    job = seen.job.model_copy(update={"nodes": tuple(nodes), "refusals": dict(refusals), "silent": silent})
    if known:
        return job
    problem, step = _why_nothing(job, info, over=over)
    return job.model_copy(update={"problem": problem, "step": step})


def _why_nothing(job: JobFacts, info: JobInfo | None, *, over: bool) -> tuple[str, str]:
    where = f" on {', '.join(job.nodes)}" if job.nodes else ""
    state = f"{info.state}{f' ({info.reason})' if info.reason else ''}" if info else "unknown"
    if not over:
        step = "wait longer with --wait, or name another partition"
        return f"job {job.job_id} has not answered in time: its state is {state}", step
    lost_log = info is not None and _SIGNAL_OF_LOST_LOG in (info.signal, info.exit_code)
    if lost_log or not job.log:
        return (
            f"job {job.job_id} ended as {state}{where}, without a log: the first node does not see the runs folder",
            "put the runs folder (storage.runs) on storage that every node mounts at the same path",
        )
    return f"job {job.job_id} ended as {state}{where}: {' / '.join(job.log[-3:])}", "read what it has printed"
