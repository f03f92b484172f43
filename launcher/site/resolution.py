"""From what a run needs to the partitions that it goes to and the options that Slurm is asked with. Pure.

The first partition that fits is taken, and with it those that may be named together with it. Where none fits, the
refusal names the smallest change with which one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.launcher.site.ask import Ask, ask
from curator_slurm.launcher.site.job_place import JobFit, JobPlace
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.needs import JobNeed
from curator_slurm.launcher.site.partition_fit import fit

_ROUNDS = 6
"""Of changes to a need that does not fit, one after the other."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Where a run goes and what it asks for."""

    partitions: tuple[str, ...]
    """As the site file calls them; the first is the one whose habits count."""
    values: Mapping[str, Any]
    """Settings of `resources`, in place of those of the spec."""
    because: Mapping[str, tuple[str, ...]]
    """Setting -> the settings and facts of the site that it is derived from."""
    explain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a run can be put nowhere, at the setting that is too much."""

    key: str
    words: str


def resolve_need(need: JobNeed, site: Site) -> Resolution | Refusal | None:
    """Where a run goes; None where the site file says nothing of the partition that the spec names."""
    named = _named(need, site)
    if isinstance(named, Refusal):
        return named
    if named is None:
        return None
    candidates = named or _to_choose_from(need, site)
    if not candidates:
        words = "the site file lets no partition be chosen (`partitions.*.choose`); name one with `resources.partition`"
        return Refusal("resources.partition", words)
    fits = [fit(need, site, name, named=bool(named)) for name in candidates]
    good = [each for each in fits if not each.shortfalls]
    if not good:
        return _refusal(need, site, fits, named)
    return _placed(need, site, good, [each for each in fits if each.shortfalls], by_name=bool(named))


def _named(need: JobNeed, site: Site) -> list[str] | Refusal | None:
    """The entries of the site that a spec names; empty where it names none, None where one is not described."""
    found: list[str] = []
    for wanted in need.partitions:
        entries = [name for name in site.partitions if JobPlace(site, name).slurm_name == wanted]
        if wanted in site.partitions:
            entries = [wanted]
        elif "qos" in need.sbatch and len(entries) > 1:
            entries = [name for name in entries if JobPlace(site, name).part.qos == need.sbatch["qos"]] or entries
        if not entries:
            if not (need.gpus or need.cpus or need.gpu_type or need.mem_per_cpu):
                return None
            known = ", ".join(site.partitions)
            return Refusal("resources.partition", f"the site file does not describe partition {wanted}, only {known}")
        found += entries
    return list(dict.fromkeys(found))


def _to_choose_from(need: JobNeed, site: Site) -> list[str]:
    """Partitions that a run may be put in, in order: one without GPUs first where none are asked for."""
    names = [name for name in site.partitions if JobPlace(site, name).part.choose]
    return names if need.wants_gpus else sorted(names, key=lambda name: JobPlace(site, name).part.gpus > 0)


def _placed(need: JobNeed, site: Site, good: Sequence[JobFit], short: Sequence[JobFit], *, by_name: bool) -> Resolution:
    first = good[0]
    place, wanted = JobPlace(site, first.name), ask(first, need, JobPlace(site, first.name))
    settled = _settled(need, wanted)
    chosen = [first]
    for other in good[1:]:
        beside = JobPlace(site, other.name)
        together = place.part.together is not None and place.part.together == beside.part.together
        if together or (by_name and len(need.partitions) > 1):
            found = fit(settled, site, other.name, named=by_name)
            if not found.shortfalls and ask(found, settled, beside).same_as(wanted):
                chosen.append(other)
    return Resolution(
        partitions=tuple(each.name for each in chosen),
        values=_values(wanted, [JobPlace(site, each.name) for each in chosen]),
        because=_because(first, wanted, place, by_name),
        explain=tuple(_explain(chosen, good, short, wanted, by_name)),
    )


def _settled(need: JobNeed, wanted: Ask) -> JobNeed:
    """The need with the time limit and the memory that the first partition gives where the spec asks for none: so a
    partition with other defaults can be named beside it."""
    time, memory = wanted.values.get("time"), wanted.values.get("mem_per_node")
    changes: dict[str, Any] = {} if time is None else {"time": time}
    if memory is not None and need.mem_per_cpu is None and need.mem_per_node is None:
        changes["mem_per_node"] = memory
    return need.changed(changes)


def _values(wanted: Ask, places: Sequence[JobPlace]) -> dict[str, Any]:
    names = dict.fromkeys(place.slurm_name for place in places)
    partition = ",".join(names) if places[0].part.option_partition else None
    return {"gpus": None, "gpu_type": None, "cpus": None, "mem_per_cpu": None, "partition": partition, **wanted.values}


def _because(first: JobFit, wanted: Ask, place: JobPlace, by_name: bool) -> dict[str, tuple[str, ...]]:
    of_partition = ("resources.partition",) if by_name else (f"partitions.{place.name}",)
    return {"resources.partition": of_partition, **first.because, **wanted.because}


def _explain(
    chosen: Sequence[JobFit], good: Sequence[JobFit], short: Sequence[JobFit], wanted: Ask, by_name: bool
) -> list[str]:
    names = " or ".join(each.name for each in chosen)
    one = "named by the spec" if by_name else "the first that fits"
    why = f"{one}; Slurm takes the one that starts first" if len(chosen) > 1 else one
    lines = [f"partition: {names} ({why})", *chosen[0].lines, *wanted.lines]
    others = [each.name for each in good if each not in chosen]
    if others:
        lines.append(f"also possible: {', '.join(others)} (resources.partition)")
    return lines + [f"not {each.name}: {each.shortfalls[0].words}" for each in short]


def _refusal(need: JobNeed, site: Site, fits: Sequence[JobFit], named: Sequence[str]) -> Refusal:
    """Why nothing fits, and the nearest that would."""
    words = "; ".join(f"{each.name}: {_in_words(each)}" for each in fits)
    where = f"at {site.site.name}" if site.site.name else "here"
    close = [each for each in fits if not each.shortfalls[0].final] or fits
    key = min(close, key=lambda each: len(each.shortfalls)).shortfalls[0].key
    nearest = _nearest(need, site, named)
    near = f". The nearest that can run: {_settings(nearest)}" if nearest else ""
    which = "this cannot run there" if named else f"no partition {where} can run this"
    return Refusal(key, f"`{key}`: {which}: {words}{near}")


def _in_words(each: JobFit) -> str:
    return " and ".join(shortfall.words for shortfall in each.shortfalls)


def _settings(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"resources.{key}: {value}" for key, value in changes.items())


def _nearest(need: JobNeed, site: Site, named: Sequence[str]) -> dict[str, Any]:
    """The fewest settings with which a partition holds the run, and of these those that take the least away; then
    partitions that the spec names come before others."""
    found: list[dict[str, Any]] = []
    for name in [*named, *(name for name in _to_choose_from(need, site) if name not in named)]:
        other = {} if name in named or not need.partitions else {"partition": name}
        changes = _made_to_fit(need, site, name, bool(named))
        if changes is not None:
            found.append({**other, **changes} if changes or other else {})
    return min(found, key=lambda changes: (len(changes), need.distance(need.changed(changes))), default={})


def _made_to_fit(need: JobNeed, site: Site, name: str, by_name: bool) -> dict[str, Any] | None:
    """Settings with which this partition holds the run; None where none do."""
    changes: dict[str, Any] = {}
    for _ in range(_ROUNDS):
        short = fit(need.changed(changes), site, name, named=by_name).shortfalls
        if not short:
            return changes
        if not short[0].fix or short[0].final:
            return None
        changes |= short[0].fix
    return None
