"""squeue: jobs that wait or run, and with --states also those that are over."""

import sys
import time
from collections.abc import Iterator

from fake_slurm import getopts
from fake_slurm.columns import clock, fill, span
from fake_slurm.environment import gpus_per_node
from fake_slurm.store import Element, Job, Store, compress, node_list

DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
SHORT = {
    "PENDING": "PD", "RUNNING": "R", "COMPLETING": "CG", "COMPLETED": "CD", "FAILED": "F", "CANCELLED": "CA",
    "TIMEOUT": "TO", "NODE_FAIL": "NF", "OUT_OF_MEMORY": "OOM", "PREEMPTED": "PR",
}  # fmt: skip
HEADERS = {
    "i": "JOBID", "A": "JOBID", "F": "ARRAY_JOB_ID", "K": "ARRAY_TASK_ID", "P": "PARTITION", "j": "NAME", "u": "USER",
    "t": "ST", "T": "STATE", "M": "TIME", "D": "NODES", "R": "NODELIST(REASON)", "r": "REASON", "N": "NODELIST",
    "V": "SUBMIT_TIME", "S": "START_TIME", "e": "END_TIME", "Z": "WORK_DIR", "k": "COMMENT", "l": "TIME_LIMIT",
    "C": "CPUS", "m": "MIN_MEMORY", "b": "TRES_PER_NODE", "q": "QOS", "a": "ACCOUNT", "o": "COMMAND", "B": "EXEC_HOST",
    "p": "PRIORITY",
}  # fmt: skip


def main(store: Store, arguments: list[str]) -> int:
    """Print one line per job, running element, or pending rest of an array."""
    options, _ = getopts.parse("squeue", arguments)
    try:
        chosen = _chosen(store, options)
    except KeyError:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    form = options.get("format", DEFAULT)
    if "noheader" not in options:
        print(fill(form, HEADERS))
    for job, rows in chosen:
        for elements in _rows(rows, one_per_line="array" in options):
            print(fill(form, _values(job, elements)))
    return 0


def _chosen(
    store: Store, options: dict[str, str]
) -> Iterator[tuple[Job, list[Element]]] | list[tuple[Job, list[Element]]]:
    found = store.find(options["jobs"].split(",")) if "jobs" in options else [(j, j.elements) for j in store.all()]
    states = options.get("states", "PENDING,RUNNING,COMPLETING").upper().split(",")
    names = options["name"].split(",") if "name" in options else None
    users = options["user"].split(",") if "user" in options else None
    partitions = options["partition"].split(",") if "partition" in options else None
    result = []
    for job, elements in found:
        kept = [e for e in elements if states == ["ALL"] or e.state in states or SHORT.get(e.state) in states]
        if (
            kept
            and (not names or job.name in names)
            and (not users or job.user in users)
            and (not partitions or job.partition in partitions)
        ):
            result.append((job, kept))
    if "jobs" in options and len(found) == 1 and all(e.final for e in found[0][1]) and "states" not in options:
        _forget_old(store, found[0][1])
    return result


def _forget_old(store: Store, elements: list[Element]) -> None:
    """A job that has been over for MinJobAge is unknown, and asking for it alone is an error."""
    if all(time.time() - (e.end or 0) > store.settings["min_job_age_s"] for e in elements):
        raise KeyError(elements[0].job_id)


def _rows(elements: list[Element], *, one_per_line: bool) -> Iterator[list[Element]]:
    """Group the pending elements of an array, as squeue does unless told not to."""
    pending: list[Element] = []
    single: list[Element] = []
    for element in elements:
        grouped = element.state == "PENDING" and element.task is not None and not element.restarts
        (pending if grouped and not one_per_line else single).append(element)
    if pending:
        yield pending
    yield from ([element] for element in single)


def _values(job: Job, elements: list[Element]) -> dict[str, str]:
    first = elements[0]
    tasks = compress([e.task for e in elements if e.task is not None])
    limit = f"%{job.max_running}" if job.max_running else ""
    grouped = first.task is not None and first.state == "PENDING" and len(elements) > 1
    shown = f"{job.id}_[{tasks}{limit}]" if grouped else first.shown_id
    elapsed = ((first.end or time.time()) - first.start) if first.start else 0
    nodes = node_list(job.nodes) if first.start else ""
    gpus = gpus_per_node(job.options)
    return {
        "i": shown, "A": str(first.raw_id if first.task is not None else job.id), "F": str(job.id),
        "K": (f"{tasks}{limit if grouped else ''}" if tasks else "N/A"), "P": job.partition, "j": job.name,
        "u": job.user, "t": SHORT.get(first.state, first.state), "T": first.state, "M": span(elapsed),
        "D": str(job.nodes), "R": nodes if first.state == "RUNNING" else f"({first.reason})", "r": first.reason,
        "N": nodes, "V": clock(job.submit_time), "S": clock(first.start), "e": clock(first.end), "Z": job.directory,
        "k": job.comment or "(null)", "l": span(job.time_limit) if job.time_limit else "UNLIMITED",
        "C": job.options.get("cpus-per-task", "1"), "m": job.options.get("mem", "0"),
        "b": f"gres:gpu:{gpus}" if gpus else "N/A", "q": job.options.get("qos", "normal"),
        "a": job.options.get("account", "(null)"), "o": job.command, "B": "n1" if nodes else "n/a", "p": "0.9",
    }  # fmt: skip
