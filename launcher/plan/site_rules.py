"""What a site requires of a plan, and what it refuses, before anything is submitted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.plan.model import JobPart, Plan
from curator_slurm.launcher.site.habits import ExclusiveUse, GpuUse, MemoryUse, OptionUse
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec.restart_section import Mechanism


def missing(plan: Plan, site: Site) -> Iterator[tuple[str, str]]:
    """(key, message) of settings that the site requires and nobody has given."""
    parts = plan.parts()
    for name, required, option, asked in (
        ("account", site.slurm.account_required, "--account=NAME", parts),
        ("time", site.slurm.time_required, "--time=TIME", parts[:1]),
    ):
        for part in asked:
            if not required or getattr(part.resources, name) is not None:
                continue
            rule, key = f"slurm.{name}_required", part.key(f"resources.{name}")
            yield (
                key,
                f"`{key}` is required here ({rule} in {plan.origins.get(rule, 'a site file')}): set it in "
                f"the spec, with {option}, or for all of your specs in ~/.config/curator-slurm/config.yaml",
            )


def refused(plan: Plan, site: Site) -> list[SpecProblem]:
    """Options that the site does not take, and what is above its limits."""
    found = [
        *(each for part in plan.parts() for each in (*_options(part), *_limits(part, plan.site_in(part.place)))),
        *_running_shards(plan, site),
        *_requeue(plan),
    ]
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


def notes(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) of what a plan asks for and the site has its own way of giving."""
    if plan.placed or plan.placed_groups:
        return  # `explain` has it
    for part in plan.parts():
        yield from _notes(part, plan.origins)


def _notes(part: JobPart, origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    resources, habits = part.resources, part.habits
    if resources.mem_per_node is not None and habits.mem is not MemoryUse.USE:
        way = {
            MemoryUse.NEVER: "jobs here get what the site gives",
            MemoryUse.WHOLE_NODE: "jobs here get all memory of a node",
            MemoryUse.PER_CPU: "memory follows CPUs here",
            MemoryUse.PER_GPU: "memory follows GPUs here",
        }[habits.mem]
        key, rule = part.key("resources.mem_per_node"), origins.get("slurm.mem")
        yield key, f"`{key}` is not passed to sbatch: {way} (slurm.mem in {rule})"
    if resources.gpus_per_node is not None and habits.gpus is GpuUse.NEVER:
        key, rule = part.key("resources.gpus_per_node"), origins.get("slurm.gpus")
        yield key, f"`{key}` is not passed to sbatch: GPUs come with the nodes here (slurm.gpus in {rule})"


def _options(part: JobPart) -> Iterator[tuple[str, str, str]]:
    """(key, habit, words) of options that the spec has and the site does not take."""
    given, habits = part.resources.sbatch, part.habits
    closed = {
        "mem": () if habits.mem is MemoryUse.USE else ("mem-per-cpu", "mem-per-gpu"),
        "gres": ("gres", "gres-flags") if habits.gres is OptionUse.NEVER else (),
        "nodelist": ("nodelist", "nodefile", "exclude") if habits.nodelist is OptionUse.NEVER else (),
        "exclusive": ("exclusive",) if habits.exclusive is ExclusiveUse.NEVER else (),
    }
    for habit, options in closed.items():
        for option in options:
            if option in given:
                key = part.key(f"resources.sbatch.{option}")
                yield key, f"slurm.{habit}", f"this site takes no --{option}; leave it out"


def _limits(part: JobPart, site: Site) -> Iterator[tuple[str, str, str]]:
    """Each component of a heterogeneous job counts as a job."""
    asked = part.resources
    for name, limit, words in site.limits.exceeded(asked.nodes, asked.gpu_count, asked.time):
        key = part.key(name)
        which = "which a job must have here at least" if limit == "min_nodes" else "which this site allows one job"
        yield key, f"limits.{limit}", f"`{key}`: {words}, {which}"


def _running_shards(plan: Plan, site: Site) -> Iterator[tuple[str, str, str]]:
    shards, most = plan.spec.shards, site.limits.running_shards
    if most is not None and shards is not None and (shards.max_running or 0) > most:
        words = f"`shards.max_running`: {shards.max_running} is more than the {most} that this site allows"
        yield "shards.max_running", "limits.running_shards", words


def _requeue(plan: Plan) -> Iterator[tuple[str, str, str]]:
    if plan.spec.restart.mechanism is Mechanism.REQUEUE and plan.habits.requeue is OptionUse.NEVER:
        words = "this site does not requeue jobs; `resubmit` goes on with a new job"
        yield "restart.mechanism", "slurm.requeue", words


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
