"""What a run asks of Slurm in one partition: the settings of `resources` once it is placed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curator_slurm.launcher.site.job_place import JobFit, JobPlace
from curator_slurm.launcher.site.needs import JobNeed
from curator_slurm.launcher.spec.slurm_memory import memory_text


@dataclass(frozen=True)
class Ask:
    """Settings of `resources` beside the partition, what each is derived from, and words about them."""

    values: Mapping[str, Any]
    because: Mapping[str, tuple[str, ...]]
    lines: tuple[str, ...]
    habits: tuple[str, ...]
    """How the partition wants GPUs and memory to be asked for."""

    def same_as(self, other: Ask) -> bool:
        """Whether one call of sbatch can ask for both."""
        return self.values == other.values and self.habits == other.habits


def ask(found: JobFit, need: JobNeed, place: JobPlace) -> Ask:
    """What a run that fits asks for."""
    values: dict[str, Any] = {
        "nodes": found.nodes,
        "gpus_per_node": _gpus(found, place),
        "cpus_per_node": found.cpus,
        "mem_per_node": None if found.memory_mb is None else memory_text(found.memory_mb),
        "time": found.time,
        "account": need.account,
    }
    because: dict[str, tuple[str, ...]] = {}
    lines: list[str] = []
    suffix, cause = _suffix(place)
    if suffix and need.account is not None and not need.account.endswith(_all_suffixes(place)):
        values["account"] = need.account + suffix
        because["resources.account"] = ("resources.account", cause)
        lines.append(f"account: {values['account']} (resources.account, {cause})")
    options: dict[str, Any] = {}
    for option, value, cause in _options(found, place):
        if option == "constraint" and option in options:
            value = f"{options[option]}&{value}"
        elif option == "gres" and option in options:
            value = f"{options[option]},{value}"
        options[option] = value
        because[f"resources.sbatch.{option}"] = (*because.get(f"resources.sbatch.{option}", ()), cause)
    own = dict(need.sbatch)
    for option, causes in because.items():
        name = option.removeprefix("resources.sbatch.")
        if option != name and name not in own:
            lines.append(f"{name}: {options[name]} ({', '.join(causes)})")
    if "constraint" in options and "constraint" in own:
        own["constraint"] = _both(str(options["constraint"]), str(own["constraint"]))
    because = {
        key: causes for key, causes in because.items() if key.removeprefix("resources.sbatch.") not in need.sbatch
    }
    values["sbatch"] = {**options, **own}
    by = (str(place.part.gpus_by or place.site.slurm.gpus), str(place.mem_by))
    return Ask(values, because, tuple(lines), by)


def _gpus(found: JobFit, place: JobPlace) -> str | None:
    if not found.gpus:
        return None
    return f"{place.gpu.gres_type}:{found.gpus}" if place.gpu.gres_type else str(found.gpus)


def _suffix(place: JobPlace) -> tuple[str | None, str]:
    if place.part.account_suffix:
        return place.part.account_suffix, place.key("account_suffix")
    return place.gpu.account_suffix, f"gpu_types.{place.part.gpu_type}.account_suffix"


def _all_suffixes(place: JobPlace) -> tuple[str, ...]:
    """Endings of accounts that are complete: a user may name another budget than the usual one."""
    site = place.site
    found = [kind.account_suffix for kind in site.gpu_types.values()]
    found += [part.account_suffix for part in (*site.partitions.values(), site.partition_defaults)]
    return tuple(dict.fromkeys(suffix for suffix in found if suffix))


def _options(found: JobFit, place: JobPlace) -> Iterator[tuple[str, Any, str]]:
    """Option of sbatch, value, and the fact of the site that it comes from."""
    part = place.part
    for option, value in part.sbatch.items():
        yield option, value, f"{place.key('sbatch')}.{option}"
    if part.qos is not None:
        yield "qos", part.qos, place.key("qos")
    if part.constraint is not None:
        yield "constraint", part.constraint, place.key("constraint")
    if found.gpus and place.gpu.constraint is not None:
        yield "constraint", place.gpu.constraint, f"gpu_types.{part.gpu_type}.constraint"
    disk = part.node_local or place.site.storage.node_local
    if disk is not None and disk.option is not None:
        option, _, value = disk.option.lstrip("-").partition("=")
        yield option, value or True, "storage.node_local.option" if part.node_local is None else place.key("node_local")


def _both(ours: str, users: str) -> str:
    """Two constraints that must both hold."""
    if ours in users:
        return users
    return f"{ours}&({users})" if any(sign in users for sign in "|,[") else f"{ours}&{users}"
