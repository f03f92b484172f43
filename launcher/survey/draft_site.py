"""The whole text of a first site file. Pure.

What was found is a value, with the command or setting that said it; what only an administrator knows is a comment
that begins with DECIDE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.launcher.slurm.account_limits import Association
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers
from curator_slurm.launcher.survey.commented_yaml import Block, Item, Key, Words, decide, rendered
from curator_slurm.launcher.survey.draft_nodes import node_blocks
from curator_slurm.launcher.survey.draft_partitions import gpu_types, partition_blocks
from curator_slurm.launcher.survey.habit_trials import TrialResults
from curator_slurm.launcher.survey.probe_jobs import Probe


@dataclass(frozen=True, kw_only=True)
class Written:
    """About the writing of the file."""

    version: str
    date: str
    host: str
    path: str
    contact: str = ""


def draft(answers: ClusterAnswers, trials: TrialResults, probes: Sequence[Probe], written: Written) -> str:
    """A site file that loads as it is."""
    by_partition = {probe.target.partition: probe for probe in probes}
    reports = {name: probe.report for name, probe in by_partition.items() if probe.report is not None}
    kinds = gpu_types(answers)
    items: list[Item] = [
        Words(_head(answers, probes, written)),
        Block("site", list(_site(answers, written))),
        Block("slurm", list(_slurm(answers, trials))),
        Block("limits", list(_limits(answers))),
        Block("partitions", partition_blocks(answers, by_partition), "the first that fits a run is taken"),
        Block("gpu_types", [_gpu_type(key, kind) for key, kind in kinds.items()], "Gres (sinfo)"),
        *node_blocks(reports),
        Block("resources", list(_resources(answers))),
        decide("what specs may not change, such as [limits, resources.account]"),
        Key("locked", ["limits"], off=True),
    ]
    return rendered([item for item in items if not isinstance(item, Block) or item.items])


def _head(answers: ClusterAnswers, probes: Sequence[Probe], written: Written) -> str:
    answered = [probe.target.partition for probe in probes if probe.report is not None]
    silent = [probe.target.partition for probe in probes if probe.report is None]
    lines = [
        f"Written by curator-slurm {written.version} site init on {written.date}, as {answers.user} on {written.host}, "
        f"from what Slurm {answers.configuration.version} says"
        + (f" and the nodes of {', '.join(answered)}." if answered else "; no node was looked at (--probe)."),
        "What was found is a value, with the setting of Slurm or the command that said it. What only you know is "
        f"marked DECIDE. Then: curator-slurm site check {written.path}",
    ]
    if silent:
        lines.append(f"No answer from a node of: {', '.join(silent)}.")
    lines += [f"Not answered: {words}" for words in answers.unanswered]
    return "\n".join(lines)


def _site(answers: ClusterAnswers, written: Written) -> Iterator[Item]:
    name = answers.configuration.name
    if name:
        yield Key("name", name, "ClusterName (scontrol show config)")
        yield Key("cluster_names", [name])
    if written.contact:
        yield Key("contact", written.contact)
    else:
        yield decide("who helps users; messages about limits and locks name it")
        yield Key("contact", "hpc-support@example.org", off=True)
    yield decide("your page for users, if there is one")
    yield Key("docs", "https://hpc.example.org", off=True)


def _slurm(answers: ClusterAnswers, trials: TrialResults) -> Iterator[Item]:
    found, habits = answers.configuration, dict(trials.habits)
    if trials.failure:
        yield decide(f"options that this site refuses could not be tried: {trials.failure}")
    elif trials.taken:
        yield Words(f"taken by sbatch --test-only in {trials.partition}: {', '.join(trials.taken)}")
    if trials.unclear:
        yield Words(f"refused for want of nodes, so that nothing is known of them: {', '.join(trials.unclear)}")
    whole_mem = habits.pop("whole_node_mem", None)
    if not found.shares_memory and "mem" not in habits:
        parameters = ",".join(found.select_parameters) or "none"
        habits["mem"] = ("never", f"SelectTypeParameters={parameters}: memory is not given to jobs by Slurm")
    if not found.knows_gpus and any(group.gpus for group in answers.groups) and "gpus" not in habits:
        habits["gpus"] = ("gres", f"SelectType={found.select_type}")
    for key, (value, words) in habits.items():
        yield Key(key, value, words)
    if whole_mem is not None:
        yield decide(f"whole_node_mem: {whole_mem[1]}; which amount is taken for all memory of a node?")
    if "account_required" not in habits:
        yield from _account(answers)
    weak = list(dict.fromkeys(name for qos in answers.qos for name in qos.preempts))
    if found.preempt_type == "qos" and weak:
        yield decide(
            f"partitions.NAME.preempted: PreemptType=preempt/qos, and jobs of QOS {', '.join(weak)} may be pushed out "
            "(sacctmgr show qos)"
        )
    if not found.requeues:
        yield Words("JobRequeue=0: Slurm requeues only jobs that ask for it, as runs with restarts do")
    if found.job_submit:
        yield decide(
            f"{', '.join(found.job_submit)} may refuse or change jobs (JobSubmitPlugins, CliFilterPlugins); what "
            "--test-only was not asked, you know: keys of site files, section slurm"
        )
    if found.max_array_size:
        yield Words(f"MaxArraySize={found.max_array_size}: arrays are split accordingly, without a key")


def _account(answers: ClusterAnswers) -> Iterator[Item]:
    """Whether a run needs an account: one that is enforced can have a default."""
    found = answers.configuration
    if not found.needs_association:
        return
    enforced = f"AccountingStorageEnforce={','.join(found.enforced)}"
    if answers.default_account:
        yield decide(f"account_required: {enforced}; jobs without one are charged to the user's default, here "
                     f"{answers.default_account}")  # fmt: skip
        yield Key("account_required", True, off=True)
    else:
        yield Key("account_required", True, f"{enforced}, and {answers.user} has no default account")


def _limits(answers: ClusterAnswers) -> Iterator[Item]:
    """Those of all partitions: the user's own limits are a hint, others may have different ones."""
    for association in answers.associations:
        yield from _association(association, answers)
    yield decide("most jobs of a user in the queue; every element of an array counts")
    yield Key("submitted_jobs", 1000, off=True)


def _association(association: Association, answers: ClusterAnswers) -> Iterator[Item]:
    limits = [("MaxSubmit", association.max_submitted), ("MaxJobs", association.max_running)]
    qos = answers.qos_named(association.default_qos or (association.qos[0] if len(association.qos) == 1 else ""))
    if qos is not None:
        limits += [(f"MaxSubmitPU of QOS {qos.name}", qos.max_submitted), (f"MaxJobsPU of {qos.name}", qos.max_running)]
    told = [f"{name}={value}" for name, value in limits if value is not None]
    if told:
        yield Words(f"{answers.user} in account {association.account}: {', '.join(told)} (sacctmgr show assoc, qos)")


def _gpu_type(key: str, kind: str) -> Item:
    return Block(key, [Key("gres_type", kind)])


def _resources(answers: ClusterAnswers) -> Iterator[Item]:
    accounts = list(dict.fromkeys(each.account for each in answers.associations if each.account))
    yield decide("defaults of every run, such as a time limit")
    yield Key("time", "4:00:00", off=True)
    if answers.configuration.needs_association and accounts:
        yield Words(f"accounts of {answers.user}: {', '.join(accounts)} (sacctmgr show assoc)")
