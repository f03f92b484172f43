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
        case ["show", "node" | "nodes", *names]:
            _show_nodes(store, [name for word in names for name in expand_hosts(word)])
        case ["ping"]:
            print("Slurmctld(primary) at login is UP")
        case ["update", *_]:
            pass  # it is in the log of calls
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
                if verb == "requeue" and not job.requeue:
                    print(f"Requested operation is presently disabled for job {word}", file=sys.stderr)
                    return 1
                if verb == "requeue" and all(element.state == "PENDING" for element in elements):
                    print(f"Job is pending execution for job {word}", file=sys.stderr)
                    return 1
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
    if recorded := store.recorded("config.txt"):
        print(recorded, end="")
        return
    storage = "slurmdbd" if store.settings["accounting"] else "none"
    values = {
        "AccountingStorageEnforce": "none",
        "AccountingStorageType": f"accounting_storage/{storage}",
        "CliFilterPlugins": "(null)",
        "ClusterName": "fake",
        "JobRequeue": "1",
        "JobSubmitPlugins": "(null)",
        "MaxArraySize": store.settings["max_array_size"],
        "MinJobAge": f"{store.settings['min_job_age_s']} sec",
        "PreemptMode": "OFF",
        "PreemptType": "preempt/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE_MEMORY",
        "SLURM_VERSION": "22.05.8",
    }
    print(f"Configuration data as of {clock(time.time())}")
    for key, value in values.items():
        print(f"{key:<23} = {value}")


def _show_partitions(store: Store, names: list[str]) -> None:
    if recorded := store.recorded("partitions.txt"):
        print(recorded, end="")
        return
    settings = store.settings
    limit = {"infinite": "UNLIMITED"}.get(settings["time_limit"], settings["time_limit"])
    for name in names or settings["partitions"]:
        default = "YES" if name == settings["default_partition"] else "NO"
        print(
            f"PartitionName={name} AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default={default} "
            f"QoS=N/A DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED "
            f"MaxTime={limit} MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes={node_list(settings['nodes'])} "
            f"PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE "
            f"PreemptMode=OFF State=UP TotalCPUs={settings['nodes'] * settings['cpus']} "
            f"TotalNodes={settings['nodes']} SelectTypeParameters=NONE JobDefaults=(null) "
            "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED"
        )


def _show_nodes(store: Store, names: list[str]) -> None:
    if recorded := store.recorded("nodes.txt"):
        lines = recorded.splitlines()
        print("\n".join(line for line in lines if not names or line.split()[0].partition("=")[2] in names))
        return
    settings = store.settings
    gres = f"gpu:{settings['gpus']}" if settings["gpus"] else "(null)"
    for name in names or [f"n{number + 1}" for number in range(settings["nodes"])]:
        print(
            f"NodeName={name} Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv={settings['cpus']} "
            f"CPUTot={settings['cpus']} CPULoad=0.00 AvailableFeatures=(null) ActiveFeatures=(null) Gres={gres} "
            f"NodeAddr={name} NodeHostName={name} Version=22.05.8 RealMemory={settings['memory_mb']} AllocMem=0 "
            "State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1"
        )


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
