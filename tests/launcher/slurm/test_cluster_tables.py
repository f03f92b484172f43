"""Slurm's tables about partitions, nodes and accounts: recorded from 22.05, and lines as later versions print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_slurm.launcher.slurm.account_limits import parse_associations, parse_default_account, parse_qos
from curator_slurm.launcher.slurm.cluster_config import parse_slurm_configuration
from curator_slurm.launcher.slurm.node_groups import parse_node_extras, parse_node_groups
from curator_slurm.launcher.slurm.partition_rules import is_preempted, parse_partition_rules
from curator_slurm.launcher.slurm.tables import UnreadableOutputError

DATA = Path(__file__).parents[1] / "survey" / "data"
LATER_PARTITION = (
    "PartitionName=big mem AllowGroups=ALL DenyAccounts=none,guests DenyQos=low AllocNodes=ALL Default=NO QoS=gpuq "
    "DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO ExclusiveTopo=NO GraceTime=0 Hidden=NO MaxNodes=1 "
    "MaxTime=6-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=124 MaxCPUsPerSocket=UNLIMITED NodeSets=h100 "
    "Nodes=gh[101-132] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=YES:4 "
    "OverTimeLimit=NONE PreemptMode=REQUEUE State=UP TotalCPUs=4096 TotalNodes=32 SelectTypeParameters=NONE "
    "JobDefaults=DefCpuPerGPU=30 DefMemPerCPU=12000 MaxMemPerCPU=12000 TRES=cpu=3968,mem=49504000M,node=32\n"
)
"""Keys that Slurm 24.05 and 25.05 have, and 22.05 has not."""
LATER_NODE = (
    "NodeName=gh101 Arch=aarch64 CoresPerSocket=72  CPUAlloc=0 CPUEfctv=280 CPUTot=288 CPULoad=0.10 "
    "AvailableFeatures=gh200,nvme ActiveFeatures=gh200,nvme Gres=gpu:gh200:4(S:0-3) NodeAddr=gh101 "
    "NodeHostName=gh101 Version=25.05.2 OS=Linux 5.14.21 #1 SMP RealMemory=850000 AllocMem=0 FreeMem=800000 "
    "Sockets=4 Boards=1 CoreSpecCount=8 CPUSpecList=0-7 MemSpecLimit=20000 State=IDLE+PLANNED ThreadsPerCore=1 "
    "TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=gpu ResumeAfterTime=None Topology=default:sw1 "
    "Reason=kernel update=soon [root@2026-01-01T00:00:00]\n"
)


def recorded(kind: str, name: str) -> str:
    return (DATA / kind / name).read_text()


def test_configuration() -> None:
    plain, mixed = (parse_slurm_configuration(recorded(kind, "config.txt")) for kind in ("plain", "mixed"))
    assert (plain.name, plain.version, plain.max_array_size) == ("testcluster", "22.05.8", 1001)
    assert (plain.shares_memory, plain.knows_gpus, plain.gives_whole_nodes) == (True, True, False)
    assert (plain.enforced, plain.needs_association, plain.requeues) == ((), False, True)
    assert (plain.has_accounting, plain.preempt_type, plain.job_submit) == (True, "partition_prio", ())
    assert mixed.enforced == ("associations", "limits", "qos")
    assert (mixed.needs_association, mixed.requeues) == (True, False)


def test_configuration_of_other_kinds() -> None:
    text = (
        "SelectType              = select/linear\nSelectTypeParameters    = CR_ONE_TASK_PER_CORE\n"
        "JobSubmitPlugins        = lua\nCliFilterPlugins        = user_defaults\nAccountingStorageType   = (null)\n"
        "PreemptType             = (null)\n\nCgroup Support Configuration:\nJobSubmitPlugins = other\n"
    )
    found = parse_slurm_configuration(text)
    assert (found.gives_whole_nodes, found.shares_memory, found.knows_gpus) == (True, False, False)
    assert (found.job_submit, found.has_accounting, found.preempt_type) == (("lua", "user_defaults"), False, "")
    with pytest.raises(UnreadableOutputError):
        parse_slurm_configuration("Welcome to the cluster!\n")


def test_partitions() -> None:
    main, gpu, whole, low, closed = every = parse_partition_rules(recorded("mixed", "partitions.txt"))
    assert [each.name for each in every] == ["main", "gpu", "whole", "low", "closed"]
    assert (main.is_default, main.default_time_s, main.max_time_s, main.max_nodes) == (True, 600, 86400, None)
    assert (gpu.max_nodes, gpu.max_time_s, gpu.qos) == (2, 43200, "gpu")
    assert gpu.follows == ("DefCpuPerGPU=2", "DefMemPerGPU=1500")
    assert (whole.whole_nodes, main.whole_nodes) == (True, False)
    assert (low.preempt_mode, main.preempt_mode, low.max_time_s) == ("REQUEUE", "", None)
    assert (closed.is_up, closed.restricted, main.restricted) == (False, ("AllowAccounts=root",), ())
    assert [each.name for each in every if is_preempted(each, every, "partition_prio")] == ["low"]
    assert not any(is_preempted(each, every, "") for each in every)


def test_a_partition_of_a_later_slurm() -> None:
    [found] = parse_partition_rules(LATER_PARTITION)
    assert (found.name, found.qos, found.max_nodes, found.max_time_s) == ("big mem", "gpuq", 1, 6 * 86400)
    assert found.restricted == ("DenyAccounts=none,guests", "DenyQos=low")
    assert (found.whole_nodes, found.node_count, found.follows) == (False, 32, ("DefCpuPerGPU=30",))
    with pytest.raises(UnreadableOutputError):
        parse_partition_rules("slurm_load_partitions error\n")


def test_groups_of_nodes() -> None:
    [main, *_] = parse_node_groups(recorded("plain", "groups.txt"))
    assert (main.partition, main.nodes, main.cpus, main.memory_mb) == ("main", 3, 4, 6000)
    assert (main.gpus, main.features, main.idle, main.names) == ((("", 2),), (), 3, "n[1-3]")
    assert main.example == "n1"
    by_features = {group.features: group for group in parse_node_groups(recorded("mixed", "groups.txt"))}
    assert by_features["amd", "nvme", "hbm80g"].gpus == (("h100", 2),)
    assert by_features[("intel",)].gpus == ()
    busy = "gpu|1024+|128+|515000+|gpu:a100:4(S:0-1),nvme:1|a,b|1000/0/24/1024|nid[001000-001999,002001-002024]\n"
    [group] = parse_node_groups(f"Welcome\n{busy}")
    assert (group.nodes, group.cpus, group.gpus, group.idle) == (1024, 128, (("a100", 4),), 0)
    assert group.example == "nid001000"
    with pytest.raises(UnreadableOutputError):
        parse_node_groups("slurm_load_partitions: Unable to contact slurm controller\n")


def test_what_the_system_keeps_of_a_node() -> None:
    n1, n2, n3 = parse_node_extras(recorded("mixed", "nodes.txt"))
    assert [(each.name, each.cpus, each.usable_cpus, each.kept_memory_mb) for each in (n1, n2, n3)] == [
        ("n1", 4, 3, 500),
        ("n2", 4, 4, 0),
        ("n3", 4, 4, 0),
    ]
    [later] = parse_node_extras(LATER_NODE)
    assert (later.cpus, later.usable_cpus, later.kept_memory_mb) == (288, 280, 20000)


def test_accounts_and_qos() -> None:
    [found] = parse_associations(recorded("mixed", "assoc.txt"))
    assert (found.account, found.max_submitted, found.max_running, found.qos) == ("lab", 210, 200, ("normal",))
    assert parse_default_account(recorded("mixed", "user.txt")) == "lab"
    normal, gpu = parse_qos(recorded("mixed", "qos.txt"))
    assert (gpu.max_submitted, gpu.max_running, gpu.max_time_s) == (40, 20, 6 * 3600)
    assert (gpu.max_nodes, gpu.max_gpus) == (2, 4)
    assert (normal.max_submitted, normal.max_time_s, normal.max_nodes) == (None, None, None)


def test_tables_with_other_columns() -> None:
    [found] = parse_qos("Name|MaxWall|NewLimit|Preempt\nhigh|1-00:00:00|7|low,scavenger\n")
    assert (found.max_time_s, found.preempts, found.max_submitted) == (86400, ("low", "scavenger"), None)
    assert parse_qos("Name|MaxWall\n") == []
    with pytest.raises(UnreadableOutputError):
        parse_associations("")
