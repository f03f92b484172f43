"""scontrol: the few words of it that a launcher uses."""

import re
import sys
import time

from fake_slurm import getopts
from fake_slurm.columns import clock, span
from fake_slurm.store import Element, Job, Store, node_list, record


def main(store: Store, arguments: list[str]) -> int:
    """Show, requeue, hold or release."""
    # Real options come before or after the words.
    options, words = getopts.parse("scontrol", arguments)
    match words:
        case ["show", "hostnames" | "hostname", hosts]:
            print("\n".join(expand_hosts(hosts)))
        case ["show", "job" | "jobs" | "jobid", *ids]:
            return _show_jobs(store, ids, one_line="oneliner" in options)
        case ["show", "config" | "configuration"]:
            _show_config(store)
        case ["show", "partition" | "partitions", *names]:
            _show_partitions(store, names)
        case ["show", "node" | "nodes", *_]:
            for number in range(store.settings["nodes"]):
                print(f"NodeName=n{number + 1} State=IDLE CPUTot={store.settings['cpus']}")
        case ["ping"]:
            print("Slurmctld(primary) at login is UP")
        case ["requeue" | "hold" | "release" as verb, *ids]:
            return _request(store, verb, [i for word in ids for i in word.split(",")])
        case _:
            print(f"invalid entity or keyword: {' '.join(words)}", file=sys.stderr)
            return 1
    return 0


def _request(store: Store, verb: str, ids: list[str]) -> int:
    for word in ids:
        try:
            for job, elements in store.find([word]):
                record(job.folder, [e.task for e in elements], request=verb)
        except KeyError:
            print(f"Invalid job id specified for job {word}", file=sys.stderr)
            return 1
    return 0


def _show_jobs(store: Store, ids: list[str], *, one_line: bool) -> int:
    try:
        found = store.find(ids) if ids else [(job, job.elements) for job in store.all()]
    except KeyError:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    for job, elements in found:
        for element in elements:
            print((" " if one_line else "\n   ").join(_fields(job, element)) + ("" if one_line else "\n"))
    return 0


def _fields(job: Job, element: Element) -> list[str]:
    raw = element.raw_id if element.task is not None else job.id
    array = [f"ArrayJobId={job.id}", f"ArrayTaskId={element.task}"] if element.task is not None else []
    elapsed = ((element.end or time.time()) - element.start) if element.start else 0
    log = job.options.get("output", "")
    return [
        f"JobId={raw}", *array, f"JobName={job.name}", f"UserId={job.user}(0) GroupId={job.user}(0)",
        f"JobState={element.state} Reason={element.reason} Dependency=(null)",
        f"Requeue={int(job.requeue)} Restarts={element.restarts} BatchFlag=1 Reboot=0 ExitCode={element.exit_code}",
        f"RunTime={span(elapsed, full=True)}"
        f" TimeLimit={span(job.time_limit, full=True) if job.time_limit else 'UNLIMITED'}",
        f"SubmitTime={clock(job.submit_time)} StartTime={clock(element.start, 'Unknown')}"
        f" EndTime={clock(element.end, 'Unknown')}",
        f"Partition={job.partition} NodeList={node_list(job.nodes) if element.start else '(null)'}"
        f" BatchHost=n1 NumNodes={job.nodes}",
        f"Command={job.command}", f"WorkDir={job.directory}", f"StdErr={log}", f"StdOut={log}",
    ]  # fmt: skip


def _show_config(store: Store) -> None:
    print(f"Configuration data as of {clock(time.time())}")
    storage = "slurmdbd" if store.settings["accounting"] else "none"
    print(f"AccountingStorageType   = accounting_storage/{storage}")
    print(f"MaxArraySize            = {store.settings['max_array_size']}")
    print(f"MinJobAge               = {store.settings['min_job_age_s']} sec")
    print("SLURM_VERSION           = 22.05.8")


def _show_partitions(store: Store, names: list[str]) -> None:
    for name in names or store.settings["partitions"]:
        print(f"PartitionName={name} MaxTime=UNLIMITED TotalNodes={store.settings['nodes']} State=UP")


def expand_hosts(text: str) -> list[str]:
    """Expand `n[1-3,7],m01`."""
    names: list[str] = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?", text):
        match = re.fullmatch(r"([^\[]+)\[([^\]]*)\]", part)
        if not match:
            names.append(part)
            continue
        for piece in match[2].split(","):
            first, dash, last = piece.partition("-")
            for number in range(int(first), int(last if dash else first) + 1):
                names.append(f"{match[1]}{number:0{len(first)}}")
    return names
