"""Runs for tests of reports: run directories with all that agents and drivers leave, at times that are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import run_dirs
import sharded_runs

from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.phases import NODE_PHASES
from curator_slurm.launcher.runs.registry import Run, add_job_ids, run_comment
from curator_slurm.launcher.runs.shard_records import DoneRecord, Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

T0 = 1_796_000_000.0
"""When the first job was submitted."""
GIB = 1 << 30

STAGES: list[dict[str, Any]] = [
    {
        "name": "reader", "tasks_in": 4, "tasks_out": 12, "tasks_filtered": 0, "tasks_failed": 0, "items_in": 4,
        "items_out": 1200, "kind": "DocumentBatch", "workers_peak": 1, "busy_s": 8.0,
    },
    {
        "name": "quality <filter>", "tasks_in": 12, "tasks_out": 10, "tasks_filtered": 1, "tasks_failed": 1,
        "items_in": 1200, "items_out": 650, "items_failed": 100, "rows_failed": 3, "kind": "DocumentBatch",
        "workers_peak": 2, "busy_s": 110.0,
    },
    {
        "name": "writer", "tasks_in": 10, "tasks_out": 10, "tasks_filtered": 0, "tasks_failed": 0, "items_in": 650,
        "items_out": 10, "kind": "FileGroupTask", "workers_peak": 1, "busy_s": 5.0,
    },
]  # fmt: skip
"""What progress.json of `measured_run` says."""


def phases_of_node(cluster: ClusterPaths, node: str, start: float, end: float, **more: Any) -> None:
    """A node that has begun, joined after 10 s, and left; with 4 CPUs and 8 GiB for the job."""
    phases = {
        "script": start, "agent": start + 1, "preflight": start + 2, "joined": start + 10, "ending": end - 4,
        "ray_stopped": end - 2, "left": end,
    }  # fmt: skip
    paths = cluster.node(node)
    paths.root.mkdir(parents=True, exist_ok=True)
    status = {"schema": 1, "node": node, "node_id": 0, "role": "worker", "state": "left", "time": end, "message": ""}
    write_json(paths.status, {**status, "phases": phases, "cpus": 4, "memory": 8 * GIB, "gpus": 0, **more})
    append_jsonl(
        cluster.events, {"time": end, "event": NODE_PHASES, "node": None, "message": "", "phases": {node: phases}}
    )


def measure_node(cluster: ClusterPaths, node: str, start: float, end: float, **more: Any) -> None:
    """Lines of a node that keeps three of its four CPUs busy."""
    at = start
    while at < end:
        at += 2.0
        line = {
            "time": at, "node": node, "seconds": 2.0, "cpus_job": 3.0, "cpus_node": 3.5, "memory_job": 2 * GIB,
            "memory_node": 3 * GIB, "shm": GIB, "net_in": 1000.0, "net_out": 500.0, "power": 90.0,
        }  # fmt: skip
        append_jsonl(cluster.node(node).metrics, {**line, **more})


def measure_stages(attempt: AttemptPaths, start: float, busy: dict[str, float], **more: Any) -> None:
    """Lines of stages, whose workers are busy for these shares of a minute; each takes a task in a second."""
    for second in range(0, 62, 2):
        for position, (stage, share) in enumerate(busy.items()):
            line = {
                "time": start + second, "pipeline": "p", "stage": stage, "position": position, "tasks_in": second,
                "items_in": 10 * second, "busy_s": 2 * share * second, "workers": 2, "queued": 5 if share > 0.5 else 0,
            }  # fmt: skip
            if second == 60:
                line["task_seconds"] = {"0.5": 50, "2": 10}
            append_jsonl(attempt.metrics, {**line, **more})


def store_lines(attempt: AttemptPaths, start: float, used: float, spilled: float = 0.0) -> None:
    """The object store of 1000 bytes, filled to this share for a minute."""
    for second in range(0, 62, 2):
        line = {"time": start + second, "store_used": int(1000 * used), "store_capacity": 1000}
        append_jsonl(attempt.metrics, {**line, "store_spilled": int(1000 * spilled * second / 60), "store_restored": 0})


def failed_lines(attempt: AttemptPaths, count: int) -> None:
    """Failures of two causes."""
    for number in range(count):
        record = {
            "stage": "quality <filter>", "task_id": f"0_{number}", "source": f"/data/{number}.jsonl", "attempt": 1,
            "error": f"ValueError: row {number} of '/data/{number}.jsonl' has no text", "traceback": "Traceback ...",
        }  # fmt: skip
        append_jsonl(attempt.failures, record)
    row = {"stage": "reader", "error": "bad JSON", "traceback": "", "file": "/data/1.jsonl", "line": 7, "rows": 3}
    append_jsonl(attempt.failures, row)


def measured_run(folder: Path) -> Run:
    """A completed run of one shard on two nodes: 20 s in the queue, 100 s of a job, a minute of it measured."""
    run = run_dirs.new_run(folder)
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=T0, submitted=T0, comment=run_comment(run.run_id, number=0), elements=1,
        shards=1, job_id="4711",
    )  # fmt: skip
    write_submission(run.paths, record, [Element(0, (0,))], {})
    run = add_job_ids(run, ["4711"])
    attempt = finished_attempt(run, "4711", T0 + 20, T0 + 120)
    done = DoneRecord(
        run_id=run.run_id, shard=0, attempt=attempt.name, started=T0 + 20, published=T0 + 115, input_files=1,
        input_bytes=9,
    )  # fmt: skip
    write_json(run.paths.done(0), done.to_json())
    return run


def finished_attempt(run: Run, job_id: str, start: float, end: float, shard: int = 0, **more: Any) -> AttemptPaths:
    """An attempt with its element, on the nodes n1 and n2."""
    cluster = ClusterPaths(run.paths.element(job_id, 0), run.paths)
    attempt = cluster.attempt(shard)
    attempt.root.mkdir(parents=True)
    cluster.nodes.mkdir(parents=True)
    for event, at in (
        ("agent_started", start + 1), ("cluster_ready", start + 12), ("driver_launched", start + 2),
        ("driver_started", start + 13), ("driver_ended", start + 90), ("outputs_published", start + 95),
    ):  # fmt: skip
        of = {} if event in ("agent_started", "cluster_ready") else {"shard": shard}
        append_jsonl(cluster.events, {"time": at, "event": event, "node": None, "message": event, **of})
    for node in ("n1", "n2"):
        phases_of_node(cluster, node, start, end)
        measure_node(cluster, node, start + 20, start + 80)
    stages = {
        "stages": STAGES,
        "began": start + 15,
        "first_batch": start + 20,
        "totals": {"tasks_failed": 1, "rows_failed": 3},
    }
    head = {"schema": 1, "pipeline": "p", "backend": "xenna", "state": "completed", "started": start, "updated": end}
    write_json(attempt.progress, {**head, **stages})
    measure_stages(attempt, start + 20, {"reader": 0.1, "quality <filter>": 0.95, "writer": 0.2})
    failed_lines(attempt, 4)
    outcome = {
        "schema": 1, "state": "completed", "failure_class": None, "message": "all is done", "evidence": [],
        "next_step": "", "exit_code": 0, "started": start, "ended": end, "nodes": ["n1", "n2"], **more,
    }  # fmt: skip
    write_json(attempt.outcome, outcome)
    write_json(cluster.outcome, outcome)
    return attempt


def many_shards(folder: Path, count: int) -> Run:
    """A sharded run that is done: a job for each shard, half a minute apart, each with figures of two stages."""
    run = sharded_runs.sharded_run(folder, count)
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=T0, submitted=T0, comment=run_comment(run.run_id, number=0),
        elements=count, shards=count, job_id="4711",
    )  # fmt: skip
    write_submission(run.paths, record, [Element(shard, (shard,)) for shard in range(count)], {})
    run = add_job_ids(run, ["4711"])
    for shard in range(count):
        start, name = T0 + 10 + 30 * shard, f"4711_{shard}.0"
        end = start + 60 + shard % 7
        attempt = run.paths.attempts / f"{shard:05d}" / name
        attempt.mkdir(parents=True)
        outcome = {
            "schema": 1, "state": "completed", "failure_class": None, "message": "", "exit_code": 0, "started": start,
            "ended": end, "nodes": ["n1"],
        }  # fmt: skip
        write_json(attempt / "outcome.json", outcome)
        write_json(attempt / "progress.json", {"schema": 1, "pipeline": "p", "state": "completed", "stages": STAGES})
        done = DoneRecord(
            run_id=run.run_id, shard=shard, attempt=name, started=start, published=end, input_files=1, input_bytes=1000,
        )  # fmt: skip
        write_json(run.paths.done(shard), done.to_json())
    return run
