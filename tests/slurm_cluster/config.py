"""Configuration files as text: pure functions of the options."""

from collections.abc import Mapping

from slurm_cluster.layout import Layout
from slurm_cluster.options import LOGIN, Options

PREFIX_BITS = 24

PARTITIONS = {
    "main": "Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=10 PreemptMode=OFF",
    "preempt": "MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0",
    "short": "MaxTime=2 DefaultTime=1 PriorityTier=10 PreemptMode=OFF",
}
"""All over all nodes: jobs in `main` push out those in `preempt`; `short` ends them after two minutes."""


def addresses(options: Options, network: str) -> dict[str, str]:
    """Give the login node .10 and compute nodes .11 and up; .1 is the default gateway."""
    return {LOGIN: f"{network}.10"} | {n: f"{network}.{11 + i}" for i, n in enumerate(options.node_names)}


def slurm_conf(options: Options, layout: Layout, network: str, *, cgroups: bool) -> str:
    """Write slurm.conf: settings, nodes, then three partitions over all of them."""
    settings = _settings(options, layout, network, cgroups=cgroups)
    for line in options.conf:
        key, _, value = line.partition("=")
        known = next((k for k in settings if k.lower() == key.lower()), key)
        settings[known] = value
    table = addresses(options, network)
    size = f"CPUs={options.cpus} RealMemory={options.memory_mb}"
    return "".join(
        [
            *(f"{key}={value}\n" for key, value in settings.items()),
            *(
                f"NodeName={name} NodeAddr={table[name]} {size}{_gres(options, kind)} State=UNKNOWN\n"
                for name, kind in _gpu_types(options)
            ),
            *(f"PartitionName={name} Nodes=ALL {habits}\n" for name, habits in PARTITIONS.items()),
            *(f"PartitionName={line}\n" for line in options.partitions),
        ]
    )


def _gpu_types(options: Options) -> list[tuple[str, str]]:
    """Nodes with the type of their GPUs, if they have one."""
    kinds = options.gpu_types or ("",) * options.nodes
    return list(zip(options.node_names, kinds, strict=True))


def _gres(options: Options, kind: str) -> str:
    return f" Gres=gpu:{kind + ':' if kind else ''}{options.gpus}" if options.gpus else ""


def _settings(options: Options, layout: Layout, network: str, *, cgroups: bool) -> dict[str, str]:
    tracked = cgroups and options.proctrack == "cgroup"
    login = addresses(options, network)[LOGIN]
    settings = {
        "ClusterName": "testcluster",
        "SlurmctldHost": f"{LOGIN}({login})",
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # A requeued job waits until its old credential has expired: two minutes by default.
        "AuthInfo": "cred_expire=20",
        "StateSaveLocation": str(layout.controller),
        "SlurmdSpoolDir": f"{layout.root}/nodes/%n/spool",
        "SlurmctldPidFile": "/run/slurmctld.pid",
        "SlurmdPidFile": "/run/slurmd.pid",
        "SlurmctldLogFile": f"{layout.log}/slurmctld.log",
        "SlurmdLogFile": f"{layout.log}/slurmd.%n.log",
        "SlurmctldDebug": "verbose",
        "SlurmdDebug": "verbose",
        "ProctrackType": "proctrack/cgroup" if tracked else "proctrack/linuxproc",
        "TaskPlugin": "task/cgroup" if tracked else "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SlurmdParameters": "config_overrides",
        "GresTypes": "gpu",
        "MpiDefault": "none",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "bf_interval=3,sched_min_interval=100000",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "JobRequeue": "1",
        "MaxArraySize": str(options.max_array),
        "MaxJobCount": str(max(10_000, 2 * options.max_array)),
        "ReturnToService": "2",
        "DefMemPerCPU": str(max(1, options.memory_mb // options.cpus)),
        "SlurmdTimeout": "20",
        "SlurmctldTimeout": "20",
        "KillWait": "30",
        "MinJobAge": "300",
        "InactiveLimit": "0",
        "UnkillableStepTimeout": "60",
    }
    if options.accounting:
        settings |= {
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=2",
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": login,
            "AccountingStorageTRES": "gres/gpu",
        }
    else:
        settings |= {
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
        }
    return settings


def gres_conf(options: Options, layout: Layout) -> str:
    """Name the fake GPUs' device files."""
    if not options.gpus:
        return ""
    which = "0" if options.gpus == 1 else f"[0-{options.gpus - 1}]"
    device = f"File={layout.devices}/nvidia{which}\n"
    typed = (f"NodeName={name} Name=gpu Type={kind} {device}" for name, kind in _gpu_types(options) if kind)
    return "".join(typed) or f"Name=gpu {device}"


def cgroup_conf(*, cgroups: bool) -> str:
    """Name the plugin outright: finding it out would need systemd."""
    if not cgroups:
        return ""
    return (
        "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainRAMSpace=yes\n"
        "ConstrainCores=no\nConstrainDevices=no\nConstrainSwapSpace=no\n"
    )


def slurmdbd_conf(layout: Layout, login: str) -> str:
    """Accounting over a MariaDB that listens on the login node's loopback only."""
    return (
        f"AuthType=auth/munge\nSlurmUser=root\nDbdHost={LOGIN}\nDbdAddr={login}\n"
        f"LogFile={layout.log}/slurmdbd.log\nPidFile=/run/slurmdbd.pid\n"
        "StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStorageUser=root\nStorageLoc=slurm_acct\n"
    )


def hosts(name: str, table: Mapping[str, str], *, loopback: bool) -> str:
    """Write a node's hosts file; `loopback` is Debian's habit of calling the machine itself 127.0.1.1."""
    own = f"127.0.1.1\t{name}\n" if loopback and name != LOGIN else ""
    return "127.0.0.1\tlocalhost\n" + own + "".join(f"{address}\t{node}\n" for node, address in table.items())


RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
"""Nobody listens there, so that every look-up of an outside name fails at once."""


def choose_ids(passwd: str, group: str, count: int, first: int = 61_001) -> list[int]:
    """Choose numbers that are neither a user nor a group of the host."""
    taken = {line.split(":")[2] for line in (passwd + group).splitlines() if line.count(":") >= 2}
    free = (number for number in range(first, 64_000) if str(number) not in taken)
    return [next(free) for _ in range(count)]


def with_users(passwd: str, group: str, users: Mapping[str, int], layout: Layout) -> tuple[str, str]:
    """Add the cluster's users to copies of the host's /etc/passwd and /etc/group."""

    def others(text: str) -> str:
        return "".join(f"{line}\n" for line in text.splitlines() if line.split(":")[0] not in users)

    return (
        others(passwd) + "".join(f"{u}:x:{i}:{i}::{layout.home(u)}:/bin/bash\n" for u, i in users.items()),
        others(group) + "".join(f"{u}:x:{i}:\n" for u, i in users.items()),
    )
