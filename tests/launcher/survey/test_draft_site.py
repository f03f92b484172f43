"""A first site file as a whole, from answers that no recorded cluster gives together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from survey_answers import answers

from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.site_file import read_site_text, without_nulls
from curator_slurm.launcher.slurm.account_limits import parse_qos
from curator_slurm.launcher.slurm.node_groups import parse_node_groups
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers
from curator_slurm.launcher.survey.draft_site import Written, draft
from curator_slurm.launcher.survey.habit_trials import TrialResults
from curator_slurm.launcher.survey.probe_jobs import Probe
from curator_slurm.launcher.survey.probe_report import parse_report
from curator_slurm.launcher.survey.probe_script import ProbeTarget

DISKLESS = parse_report((Path(__file__).parent / "data" / "diskless.txt").read_text())


def drafted(found: ClusterAnswers, *probes: Probe, trials: TrialResults | None = None) -> tuple[Site, str]:
    """What the file says to the program, and its text with comments on one line."""
    about = Written(version="1.0", date="2026-01-02", host="login", path="site.yaml")
    text = draft(found, trials or TrialResults("main"), probes, about)
    values = read_site_text(text, "site.yaml", Path("/")).value
    return Site.model_validate(without_nulls(values, ())), " ".join(text.replace("#", " ").split())


def test_a_cluster_that_gives_whole_nodes_without_memory() -> None:
    found = answers("mixed")
    linear = replace(found.configuration, select_type="select/linear", select_parameters=("CR_ONE_TASK_PER_CORE",))
    site, text = drafted(replace(found, configuration=linear, default_account="", partitions=found.partitions[:2]))
    assert (site.slurm.mem, site.slurm.gpus, site.slurm.account_required) == ("never", "gres", True)
    assert {each.sharing for each in site.partitions.values()} == {"whole"}
    assert {each.mem_by for each in site.partitions.values()} == {None}
    assert "SelectType=select/linear: jobs get whole nodes" in text
    assert "alice has no default account" in text


def test_what_is_hidden_is_said() -> None:
    found = answers("mixed")
    rules = replace(found.configuration, preempt_type="qos", job_submit=("lua",))
    qos = parse_qos("Name|Preempt\nhigh|normal,low\n")
    groups = [group for group in found.groups if group.partition != "closed"]
    refused = ("sacctmgr show qos: permission denied",)
    site, text = drafted(replace(found, configuration=rules, qos=qos, groups=groups, unanswered=refused))
    assert "closed-cpu" not in site.partitions
    for words in (
        "DECIDE: closed: sinfo shows none of its nodes",
        "jobs of QOS normal, low may be pushed out",
        "lua may refuse or change jobs",
        "limits of QOS gpu, which all jobs here have, and which could not be read",
        "Not answered: sacctmgr show qos: permission denied",
    ):
        assert words in text
    assert not any(each.preempted for each in site.partitions.values())


def test_nodes_that_differ_have_the_least_of_them() -> None:
    found = answers("mixed")
    main = found.groups[0]
    larger = replace(main, nodes=4, cpus=8, memory_mb=9000, features=("amd",), names="n[4-7]")
    site, text = drafted(replace(found, groups=[main, larger], partitions=found.partitions[:1]))
    partition = site.partitions["main"]
    assert (partition.node_count, partition.cpus, partition.memory) == (5, 4, "3000M")
    assert "4 with 8 CPUs, 9000M, features amd" in text


def test_each_entry_has_a_name_of_its_own() -> None:
    """A partition with nodes of several kinds becomes several, of which one may be called as another partition is."""
    found = answers("mixed")
    gpu = next(group for group in found.groups if group.gpus)
    groups = [*found.groups, *(replace(gpu, partition=name, gpus=(("h200", 4),)) for name in ("whole", "whole-h200"))]
    rules = [*found.partitions, replace(found.partitions[0], name="whole-h200", is_default=False)]
    site, _ = drafted(replace(found, groups=groups, partitions=rules))
    names = {name: each.slurm_name for name, each in site.partitions.items() if "h200" in name}
    assert names == {"whole-h200": None, "whole-h200-2": "whole"}


def test_a_probe_of_a_whole_node() -> None:
    found = answers("mixed")
    whole = Probe(ProbeTarget("main", idle=True), options=("--exclusive",), job_id="1", report=DISKLESS)
    assert "usable_cpus: 12 a job with the whole node may run on these alone" in drafted(found, whole)[1]
    small = replace(DISKLESS, visible_cpus=64, allowed_cpus=64)
    probe = replace(whole, report=small, clock_offset_s=-90)
    text = drafted(found, probe)[1]
    assert "the machine has 64 CPUs, and Slurm counts 128: is slurm.conf right?" in text
    assert "the clock of nid005000 is at least 90 s behind that of this machine" in text
    shared = replace(whole, options=())
    assert "may run on these alone" not in drafted(found, shared)[1]
    silent = Probe(ProbeTarget("gpu"), failure="no answer within 300 seconds: PENDING (Resources)")
    site, text = drafted(found, whole, silent)
    assert "from what Slurm 22.05.8 says and the nodes of main. " in text
    assert "No answer from a node of: gpu." in text
    assert "no probe: no answer within 300 seconds: PENDING (Resources)" in text
    assert site.network.internet == "proxy"


def test_options_that_are_refused_are_habits() -> None:
    habits = {"no_kill": ("never", "--no-kill: no"), "whole_node_mem": (None, "--mem=0: no")}
    site, text = drafted(answers("plain"), trials=TrialResults("main", dict(habits), ["--exclusive"]))
    assert (site.slurm.no_kill, site.slurm.whole_node_mem) == ("never", "0")
    assert "DECIDE: whole_node_mem: --mem=0: no; which amount is taken" in text
    assert "taken by sbatch --test-only in main: --exclusive" in text


def with_groups(rows: str) -> ClusterAnswers:
    found = answers("mixed")
    return replace(found, groups=parse_node_groups(rows), partitions=found.partitions[:2], extras={})


def test_a_node_with_gpus_of_two_types_is_in_two_entries() -> None:
    rows = "gpu|2|64|500000|gpu:a100:4(S:0-1),gpu:2080ti:2|x|0/2/0/2|n[1-2]\nmain|1|4|3000|(null)|x|0/1/0/1|n3\n"
    site, _ = drafted(with_groups(rows))
    entries = {name: (each.slurm_name, each.gpu_type, each.gpus) for name, each in site.partitions.items()}
    assert entries == {
        "main": (None, None, 0),
        "gpu-a100": ("gpu", "a100", 4),
        "gpu-2080ti": ("gpu", "2080ti", 2),
    }


def test_a_partition_without_nodes_is_named_and_leaves_a_file_that_can_be_read() -> None:
    site, text = drafted(with_groups("gpu|0|0|0|(null)|(null)|0/0/0/0|\nmain|1|0|3000|(null)|x|0/0/1/1|n3\n"))
    assert not site.partitions
    assert "DECIDE: gpu: sinfo shows none of its nodes" in text
    assert "DECIDE: main: sinfo shows none of its nodes" in text
