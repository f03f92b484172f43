"""What a site requires of a plan, and what it refuses, before anything is submitted. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.site.habits import ExclusiveUse, GpuUse, MemoryUse, OptionUse, SlurmHabits
from curator_slurm.launcher.site.model import Site


def missing(plan: Plan, site: Site) -> Iterator[tuple[str, str]]:
    """(key, message) of settings that the site requires and nobody has given."""
    for key, required, option in (
        ("account", site.slurm.account_required, "--account=NAME"),
        ("time", site.slurm.time_required, "--time=TIME"),
    ):
        if required and getattr(plan.spec.resources, key) is None:
            rule = f"slurm.{key}_required"
            yield (
                f"resources.{key}",
                f"`resources.{key}` is required here ({rule} in {plan.origins.get(rule, 'a site file')}): set it in "
                f"the spec, with {option}, or for all of your specs in ~/.config/curator-slurm/config.yaml",
            )


def refused(plan: Plan, site: Site) -> list[SpecProblem]:
    """Options that the site does not take, and what is above its limits."""
    found = [*_options(plan, site.slurm), *_limits(plan, site)]
    contact = f"; questions: {site.site.contact}" if site.site.contact else ""
    return [
        SpecProblem(key, f"{words} ({limit} in {plan.origins.get(limit, 'a site file')}){contact}", _where(plan, key))
        for key, limit, words in found
    ]


def _where(plan: Plan, key: str) -> str:
    """Where a key is set, or the section around it."""
    while key not in plan.origins and "." in key:
        key = key.rpartition(".")[0]
    return plan.origins.get(key, "")


def notes(plan: Plan, habits: SlurmHabits) -> Iterator[tuple[str, str]]:
    """(key, message) of what a plan asks for and the site has its own way of giving."""
    resources, origins = plan.spec.resources, plan.origins
    if plan.placed:
        return  # `explain` has it
    if resources.mem_per_node is not None and habits.mem is not MemoryUse.USE:
        way = {
            MemoryUse.NEVER: "jobs here get what the site gives",
            MemoryUse.WHOLE_NODE: "jobs here get all memory of a node",
            MemoryUse.PER_CPU: "memory follows CPUs here",
            MemoryUse.PER_GPU: "memory follows GPUs here",
        }[habits.mem]
        key, rule = "resources.mem_per_node", origins.get("slurm.mem")
        yield key, f"`{key}` is not passed to sbatch: {way} (slurm.mem in {rule})"
    if resources.gpus_per_node is not None and habits.gpus is GpuUse.NEVER:
        key, rule = "resources.gpus_per_node", origins.get("slurm.gpus")
        yield key, f"`{key}` is not passed to sbatch: GPUs come with the nodes here (slurm.gpus in {rule})"


def _options(plan: Plan, habits: SlurmHabits) -> Iterator[tuple[str, str, str]]:
    """(key, habit, words) of options that the spec has and the site does not take."""
    given = plan.spec.resources.sbatch
    closed = {
        "mem": () if habits.mem is MemoryUse.USE else ("mem-per-cpu", "mem-per-gpu"),
        "gres": ("gres", "gres-flags") if habits.gres is OptionUse.NEVER else (),
        "nodelist": ("nodelist", "nodefile", "exclude") if habits.nodelist is OptionUse.NEVER else (),
        "exclusive": ("exclusive",) if habits.exclusive is ExclusiveUse.NEVER else (),
    }
    for habit, options in closed.items():
        for option in options:
            if option in given:
                yield f"resources.sbatch.{option}", f"slurm.{habit}", f"this site takes no --{option}; leave it out"


def _limits(plan: Plan, site: Site) -> Iterator[tuple[str, str, str]]:
    resources, shards, limits = plan.spec.resources, plan.spec.shards, site.limits
    for key, limit, words in limits.exceeded(resources.nodes, resources.time):
        yield key, f"limits.{limit}", f"`{key}`: {words}, which this site allows one job"
    most = limits.running_shards
    if most is not None and shards is not None and (shards.max_running or 0) > most:
        words = f"`shards.max_running`: {shards.max_running} is more than the {most} that this site allows"
        yield "shards.max_running", "limits.running_shards", words


def within_limits(plan: Plan, site: Site) -> Plan:
    """The plan with the site's limit of running shards where it has none of its own.

    More than `running_jobs` do not run at once whatever is asked for: so that limit counts there, too.
    """
    limits = (("running_shards", site.limits.running_shards), ("running_jobs", site.limits.running_jobs))
    shards, given = plan.spec.shards, [(most, key) for key, most in limits if most is not None]
    most, key = min(given, default=(None, ""))
    if most is None or shards is None:
        return plan
    if shards.max_running is not None and (key != "running_jobs" or shards.max_running <= most):
        return plan
    spec = plan.spec.model_copy(update={"shards": shards.model_copy(update={"max_running": most})})
    origin = plan.origins.get(f"limits.{key}", "a site file")
    return plan.model_copy(update={"spec": spec, "origins": {**plan.origins, "shards.max_running": origin}})
