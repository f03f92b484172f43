"""sacct: the accounting of a job and its batch step."""

import os
import sys
import time

from fake_slurm import getopts
from fake_slurm.columns import clock, span
from fake_slurm.store import Element, Job, Store, node_list

DEFAULT = "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode"
FIELDS = (
    "JobID", "JobIDRaw", "JobName", "Partition", "Account", "AllocCPUS", "AllocNodes", "NNodes", "State", "ExitCode",
    "DerivedExitCode", "NodeList", "Submit", "Start", "End", "Elapsed", "ElapsedRaw", "Timelimit", "Reason", "User",
    "Restarts", "WorkDir", "MaxRSS", "QOS", "Comment", "ReqMem", "AllocTRES",
)  # fmt: skip


def main(store: Store, arguments: list[str]) -> int:
    """Print what is known of jobs; unknown ones are passed over, as by the real one."""
    options, _ = getopts.parse("sacct", arguments)
    if not store.settings["accounting"]:
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    names = [name.partition("%")[0] for name in options.get("format", DEFAULT).split(",")]
    known = {name.lower(): name for name in FIELDS}
    for name in names:
        if name.lower() not in known:
            print(f'sacct: error: Invalid field requested: "{name}"', file=sys.stderr)
            return 1
    wanted = [known[name.lower()] for name in names]
    separator = options.get("delimiter", "|") if "parsable2" in options or "parsable" in options else " "
    if "noheader" not in options:
        print(separator.join(wanted))
    for job, elements in _chosen(store, options):
        for element in elements:
            rows = [_row(job, element, batch=False)]
            if "allocations" not in options and element.start:
                rows.append(_row(job, element, batch=True))
            for row in rows:
                print(separator.join(row[name] for name in wanted))
    return 0


def _chosen(store: Store, options: dict[str, str]) -> list[tuple[Job, list[Element]]]:
    if "jobs" not in options:
        return [(job, job.elements) for job in store.all()]
    found = []
    for word in options["jobs"].split(","):
        try:
            found += store.find([word])
        except KeyError:
            continue
    return found


def _row(job: Job, element: Element, *, batch: bool) -> dict[str, str]:
    step = ".batch" if batch else ""
    elapsed = int(((element.end or time.time()) - element.start) if element.start else 0)
    raw = element.raw_id if element.task is not None else job.id
    cancelled = element.state == "CANCELLED" and not batch
    values = {
        "JobID": element.shown_id + step, "JobIDRaw": f"{raw}{step}", "JobName": "batch" if batch else job.name,
        "Partition": "" if batch else job.partition, "Account": job.options.get("account", ""),
        "AllocCPUS": "1", "AllocNodes": str(job.nodes), "NNodes": str(job.nodes),
        "State": f"CANCELLED by {os.getuid()}" if cancelled else element.state,
        "ExitCode": "0:0" if cancelled else element.exit_code,
        "DerivedExitCode": "" if batch else "0:0",
        "NodeList": node_list(job.nodes) if element.start else "None assigned", "Submit": clock(job.submit_time),
        "Start": clock(element.start, "Unknown"), "End": clock(element.end, "Unknown"),
        "Elapsed": span(elapsed, full=True), "ElapsedRaw": str(elapsed),
        "Timelimit": "" if batch else span(job.time_limit, full=True) if job.time_limit else "UNLIMITED",
        "Reason": element.reason, "User": "" if batch else job.user, "Restarts": str(element.restarts),
        "WorkDir": "" if batch else job.directory, "QOS": "normal", "Comment": job.comment or "",
    }  # fmt: skip
    return {name: values.get(name, "") for name in FIELDS}
