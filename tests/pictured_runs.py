"""Runs for the pictures of the docs: with losses, restarts, or very many shards, at times that are chosen."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import run_dirs
import sharded_runs
from reported_runs import GIB, STAGES, T0, phases_of_node

from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.registry import Run, add_job_ids, create_run, run_comment
from curator_slurm.launcher.runs.shard_records import DoneRecord, Element, Shard
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

SHARES = {"reader": 0.2, "length filter": 0.3, "quality filter": 0.95, "writer": 0.35}
"""Of the time that workers of each stage work."""
WORKERS = (1, 1, 8, 2)


def counts(tasks: int, failed: int = 0) -> list[dict[str, Any]]:
    """Stages as progress.json has them, of so many files."""
    kept = tasks - failed
    short = {
        "tasks_in": tasks, "tasks_out": tasks, "items_in": 100 * tasks, "items_out": 91 * tasks, "busy_s": 0.4 * tasks,
    }  # fmt: skip
    read = {"tasks_in": tasks, "tasks_out": tasks, "items_in": tasks, "items_out": 100 * tasks, "busy_s": 0.2 * tasks}
    judged = {
        "tasks_in": tasks, "tasks_out": kept, "tasks_failed": failed, "items_in": 91 * tasks, "items_out": 62 * kept,
        "items_failed": 91 * failed, "busy_s": 2.1 * tasks,
    }  # fmt: skip
    written = {"tasks_in": kept, "tasks_out": kept, "items_in": 62 * kept, "items_out": kept, "busy_s": 0.3 * tasks}
    return [
        {**stage, "tasks_filtered": 0, "tasks_failed": 0, "items_failed": 0, "rows_failed": 0, "name": name, **own}
        for stage, name, own in zip(
            (STAGES[0], STAGES[1], *STAGES[1:]), SHARES, (read, short, judged, written), strict=True
        )
    ]


def submitted(run: Run, job: str, elements: int, number: int = 0, at: float = T0) -> Run:
    """The run with a submission of elements of one shard each."""
    record = SubmissionRecord(
        number=number, purpose="restart" if number else "submit", prepared=at, submitted=at, elements=elements,
        comment=run_comment(run.run_id, number=number), shards=elements, job_id=job,
    )  # fmt: skip
    write_submission(run.paths, record, [Element(shard, (shard,)) for shard in range(elements)], {})
    return add_job_ids(run, [job])


def node_lines(cluster: ClusterPaths, node: str, start: float, end: float, phase: float = 0.0) -> None:
    """A node with four CPUs whose load goes up and down."""
    for step in range(int((end - start) / 2)):
        at = start + 2 * step
        wave = 0.5 + 0.5 * math.sin(step / 9 + phase)
        line = {
            "time": at, "node": node, "seconds": 2.0, "cpus_job": round(1.2 + 2.6 * wave, 2), "cpus_node": 3.9,
            "memory_job": int((1.5 + 3 * step / 100 + wave) * GIB), "memory_node": 6 * GIB, "shm": int(wave * GIB),
            "net_in": 4e7 * wave, "net_out": 2e7 * wave, "disk_free": 90 * GIB, "power": 80 + 60 * wave,
        }  # fmt: skip
        append_jsonl(cluster.node(node).metrics, line)


def stage_lines(attempt: AttemptPaths, start: float, seconds: int, tasks: int) -> None:
    """Stages that go on evenly, with a queue before the slow one."""
    for second in range(0, seconds + 1, 2):
        for position, (stage, share) in enumerate(SHARES.items()):
            done = int(tasks * max(0.0, second / seconds - 0.02 * position))
            line = {
                "time": start + second, "pipeline": "p", "stage": stage, "position": position, "tasks_in": done,
                "items_in": 100 * done, "workers": WORKERS[position], "busy_s": WORKERS[position] * share * second,
                "queued": int(30 * math.sin(math.pi * second / seconds)) if position == 2 else 0,
            }  # fmt: skip
            if second >= seconds - 1:
                line["task_seconds"] = {"0.5": tasks // 4, "2": tasks // 2, "4": tasks // 4, "16": 3}
            append_jsonl(attempt.metrics, line)
    for second in range(0, seconds + 1, 2):
        used = int((2 + 4 * math.sin(math.pi * second / seconds)) * GIB)
        append_jsonl(attempt.metrics, {"time": start + second, "store_used": used, "store_capacity": 9 * GIB})


def attempt_of(
    run: Run, job: str, shard: int, start: float, end: float, nodes: tuple[str, ...], tasks: int, **more: Any
) -> AttemptPaths:
    """An attempt with its element; `more` is of its outcome, and `failed` are failed tasks."""
    failed = int(more.pop("failed", 0))
    restart = int(more.pop("restart", 0))
    cluster = ClusterPaths(run.paths.element(job, restart), run.paths)
    attempt = cluster.attempt(shard)
    attempt.root.mkdir(parents=True)
    cluster.nodes.mkdir(parents=True)
    work = (start + 14, end - 8)
    for event, at in (
        ("agent_started", start + 1), ("cluster_ready", start + 12), ("driver_launched", start + 2),
        ("driver_started", start + 13), ("driver_ended", work[1]), ("outputs_published", end - 6),
    ):  # fmt: skip
        of = {} if event in ("agent_started", "cluster_ready") else {"shard": shard}
        append_jsonl(cluster.events, {"time": at, "event": event, "node": None, "message": event, **of})
    for number, node in enumerate(nodes):
        phases_of_node(cluster, node, start + number, end)
        node_lines(cluster, node, work[0], work[1], number)
    state = more.get("state", "completed")
    head = {"schema": 1, "pipeline": "p", "backend": "xenna", "started": start, "updated": end, "state": state}
    totals = {"tasks_failed": failed, "rows_failed": 0}
    times = {"began": start + 13, "first_batch": start + 15}
    write_json(attempt.progress, {**head, **times, "stages": counts(tasks, failed), "totals": totals})
    stage_lines(attempt, work[0], int(work[1] - work[0]), tasks)
    for number in range(failed):
        cause = "has no text" if number % 3 else "is no JSON"
        record = {
            "stage": "quality filter", "task_id": f"0_{number}", "source": f"/data/{number}.jsonl", "attempt": 1,
            "error": f"ValueError: row {number} of '/data/{number}.jsonl' {cause}", "traceback": "Traceback ...",
        }  # fmt: skip
        append_jsonl(attempt.failures, record)
    outcome = {
        "schema": 1, "state": "completed", "failure_class": None, "message": "all is done", "evidence": [],
        "next_step": "", "exit_code": 0, "started": start, "ended": end, "nodes": list(nodes), **more,
    }  # fmt: skip
    write_json(attempt.outcome, outcome)
    write_json(cluster.outcome, outcome)
    if state == "completed":
        done = DoneRecord(
            run_id=run.run_id, shard=shard, attempt=attempt.name, started=start, published=end - 5,
            input_files=tasks, input_bytes=tasks * 40_000_000, tasks_failed=failed,
        )  # fmt: skip
        write_json(run.paths.done(shard), done.to_json())
    return attempt


def three_nodes(folder: Path, backend: str) -> Run:
    """Three nodes for four minutes, on one of the executors."""
    run = submitted(run_dirs.new_run(folder), "4711", 1)
    attempt = attempt_of(run, "4711", 0, T0 + 30, T0 + 270, ("n1", "n2", "n3"), 3000)
    progress = attempt.progress.read_text().replace('"xenna"', f'"{backend}"')
    attempt.progress.write_text(progress)
    return run


def lossy(folder: Path) -> Run:
    """A run in which one task in twenty fails, and a node of three is lost on the way."""
    run = submitted(run_dirs.new_run(folder), "4711", 1)
    attempt = attempt_of(run, "4711", 0, T0 + 30, T0 + 270, ("n1", "n2"), 3000, failed=150)
    cluster = attempt.cluster
    lost = T0 + 150
    cluster.node("n3").root.mkdir()
    node_lines(cluster, "n3", T0 + 44, lost, 2)
    message = "was lost: its agent does not answer"
    append_jsonl(cluster.events, {"time": lost, "event": "node_lost", "node": "n3", "message": message})
    phases = {"script": T0 + 32, "agent": T0 + 33, "preflight": T0 + 34, "joined": T0 + 42}
    status = {"schema": 1, "node": "n3", "node_id": 2, "role": "worker", "state": "failed", "time": lost}
    more = {
        "message": message,
        "failure_class": "node_failed",
        "phases": phases,
        "cpus": 4,
        "memory": 8 * GIB,
        "gpus": 0,
    }
    write_json(cluster.node("n3").status, {**status, **more})
    return run


def restarted(folder: Path) -> Run:
    """Twelve shards, of which three were interrupted, one of them twice."""
    sizes = [(20 + shard + 14 * (shard == 10)) * 40_000_000 for shard in range(12)]
    shards = [Shard(each, (InputFile(f"/data/{each}.jsonl", size),)) for each, size in enumerate(sizes)]
    new = replace(sharded_runs.new_sharded(folder, 12), shards=shards)
    run = submitted(create_run(folder / "runs", new), "4711", 12)
    for shard in range(12):
        start = T0 + 20 + 25 * (shard // 3)
        endings = {4: 1, 7: 2, 9: 1}.get(shard, 0)
        for restart in range(endings):
            lost = {"state": "failed", "failure_class": "preempted", "message": "the job was preempted", "exit_code": 1}
            nodes = (f"n{shard % 3 + 1}",)
            attempt_of(run, f"4711_{shard}", shard, start, start + 70, nodes, 9, restart=restart, **lost)
            start += 110
        length = 90 + 11 * (shard % 4) + (90 if shard == 10 else 0)
        nodes = (f"n{shard % 3 + 1}",)
        attempt_of(run, f"4711_{shard}", shard, start, start + length, nodes, 20 + shard, restart=endings)
    return run
