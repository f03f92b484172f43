"""The options of sbatch of a plan, as its site wants them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.launcher.plan.drain_notice import DRAIN_SIGNAL, drain_notice_s
from curator_slurm.launcher.plan.model import Cluster, JobPart, Plan
from curator_slurm.launcher.plan.restart_choice import restart_choice
from curator_slurm.launcher.site.habits import (
    CollectHabits,
    ExclusiveUse,
    ExportUse,
    GpuUse,
    MemoryUse,
    OptionUse,
    SlurmHabits,
)
from curator_slurm.launcher.spec.restart_section import Mechanism

Option = tuple[str, str | None]
"""A long name and its value, None for a bare flag."""
_KEPT_FOR_COLLECT = frozenset({"qos", "reservation", "wckey", "mail-type", "mail-user", "nice"})
"""Options of the user that a small job without GPUs shares; the others are about the nodes of the run."""


COMPONENT: Option = ("hetjob", None)
"""Between the options of two components of a heterogeneous job: `#SBATCH hetjob`."""


def sbatch_lines(plan: Plan) -> Iterator[Option]:
    """Every option of sbatch: ours first, then the user's own, then those of the script; of each component in turn."""
    first, *others = plan.parts()
    yield "job-name", plan.spec.name
    yield from _of_nodes(first)
    yield "output", "elements/slurm-%A_%a.log" if plan.array else "slurm-%j.log"
    yield from _of_script(first.habits)
    if restart_choice(plan).mechanism is Mechanism.REQUEUE:
        yield "requeue", None
    elif first.habits.no_requeue is OptionUse.USE:
        yield "no-requeue", None
    if outlives_nodes(plan):
        yield "no-kill", None
    if (notice_s := drain_notice_s(plan)) is not None:
        yield "signal", f"{DRAIN_SIGNAL}@{notice_s}"
    for part in others:
        yield COMPONENT
        yield from _of_nodes(part)


_HANDED_ON = ("account", "qos", "reservation", "exclude")
"""Of the options that Slurm gives each component that does not have them from the one before: those about nodes and
budgets."""


def handed_on(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) of options that a group has not asked for, and gets from the one before it all the same."""
    known: dict[str, tuple[str, str]] = {}
    for part in plan.parts() if plan.spec.resources.groups and plan.cluster is Cluster.SLURM else ():
        assert part.group is not None
        name, given = plan.spec.resources.groups[part.group].name, dict(_of_nodes(part))
        for option in _HANDED_ON:
            if option in given:
                known[option] = name, str(given[option])
            elif option in known:
                other, value = known[option]
                setting = option if option == "account" else f"sbatch.{option}"
                yield (
                    part.key(f"resources.{setting}"),
                    f"group {name} has no --{option}, and Slurm gives it {value}, that of group {other}, which is the "
                    f"component before it; say another in group {name}, or put it before {other}",
                )


def _of_nodes(part: JobPart) -> Iterator[Option]:
    """What one component asks for; Slurm gives it what the first one says of the job as a whole."""
    resources, habits = part.resources, part.habits
    yield "nodes", str(resources.nodes)
    yield "ntasks-per-node", "1"
    gpus = resources.gpus_per_node
    options = dict(resources.sbatch)
    if habits.gpus is GpuUse.GRES and gpus is not None:
        options["gres"] = ",".join(filter(None, [f"gpu:{gpus}", str(options.get("gres", ""))]))
    for option, value in (
        ("gpus-per-node", gpus if habits.gpus is GpuUse.GPUS_PER_NODE else None),
        ("cpus-per-task", resources.cpus_per_node),
        ("mem", _memory(habits, resources.mem_per_node)),
        ("time", resources.time),
        ("partition", resources.partition),
        ("account", resources.account),
    ):
        if value is not None:
            yield option, str(value)
    for option, value in options.items():
        yield option, None if value is True else str(value)
    if habits.exclusive is ExclusiveUse.ALWAYS and "exclusive" not in options:
        yield "exclusive", None


def collect_lines(plan: Plan) -> Iterator[Option]:
    """One CPU, no GPU, little memory, where and for whom the run is, or where the site wants such jobs.

    Sites refuse ways to ask for memory. So it is asked for as the run does; where that is not at all, or by the GPU,
    which this job has none of, the site's default must do.
    """
    resources, habits = plan.spec.resources, plan.habits
    collect = CollectHabits.model_validate((plan.site or {}).get("collect", {}))
    yield "job-name", f"{plan.spec.name}-collect"
    yield "nodes", "1"
    yield "ntasks", "1"
    yield "cpus-per-task", "1"
    asked = collect.memory if resources.mem_per_node is not None else None
    memory = _memory(habits, asked)
    if memory is not None:
        yield "mem", memory
    elif habits.mem is MemoryUse.USE and "mem-per-cpu" in resources.sbatch:
        yield "mem-per-cpu", collect.memory
    for option, value in (
        ("time", collect.time or resources.time),
        ("partition", collect.partition or resources.partition),
        ("account", collect.account or resources.account),
    ):
        if value is not None:
            yield option, str(value)
    if collect.qos is not None:
        yield "qos", collect.qos
    for option, value in resources.sbatch.items():
        if option in _KEPT_FOR_COLLECT and not (option == "qos" and collect.qos):
            yield option, None if value is True else str(value)
    if habits.exclusive is ExclusiveUse.ALWAYS:
        yield "exclusive", None
    yield "output", "collect-%j.log"
    yield from _of_script(habits)


def outlives_nodes(plan: Plan) -> bool:
    """Whether job and step go on when a node is lost."""
    fewer = plan.cluster is Cluster.SLURM and plan.spec.min_nodes < plan.spec.resources.node_count
    return fewer and plan.habits.no_kill is OptionUse.USE


def _memory(habits: SlurmHabits, asked: str | None) -> str | None:
    """The value of --mem."""
    if habits.mem is MemoryUse.WHOLE_NODE:
        return habits.whole_node_mem
    return asked if habits.mem is MemoryUse.USE else None


def _of_script(habits: SlurmHabits) -> Iterator[Option]:
    if habits.open_mode is OptionUse.USE:
        yield "open-mode", "append"
    if habits.export is not ExportUse.NEVER:
        yield "export", habits.export.value.upper()
