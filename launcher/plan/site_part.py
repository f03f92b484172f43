"""What a plan keeps of the site files, so that script, agents and retries need none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.plan.model import LockNote, Plan, SiteTemplate
from curator_slurm.launcher.site.layers import Layers
from curator_slurm.launcher.site.template_files import KEY, read_templates
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.locations import absolute
from curator_slurm.launcher.spec.merging import value_at
from curator_slurm.launcher.spec.spec_file import Reading
from curator_slurm.launcher.spec.yaml_document import Path

_IN_THE_SPEC = frozenset({"resources", "environment", "executor", "cluster", "failures", "report", "shards"})
"""Sections that are part of the plan's spec already."""

_OF_USERS: tuple[Path, ...] = (("resources", "sbatch"), ("environment", "env"), ("executor", "config"))
"""Mappings whose keys are not those of a class, and may come from several layers."""


def at_site(plan: Plan, layers: Layers, reading: Reading) -> Plan:
    """The plan with what the layers say beside settings of the spec, and where each value is from.

    A plan without site files is as small as ever: only here has each option of sbatch, and each variable, its origin.
    """
    site = layers.site()
    if site is None:
        return plan
    kept = site.model_dump(mode="json", exclude_unset=True, exclude=set(_IN_THE_SPEC))
    origins = {
        dotted(path): layers.where(dotted(path)) for path in _leaves(kept, ()) if dotted(path) not in plan.origins
    }
    for section in _OF_USERS:
        for key in value_at(reading.document.value, section) or ():
            origins[dotted((*section, key))] = reading.where((*section, key))
    locks = [LockNote(key=lock.key, where=lock.where, contact=lock.contact) for lock in layers.locks]
    return plan.model_copy(update={"site": kept, "locks": locks, "origins": {**plan.origins, **origins}})


def with_templates(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """The plan with the texts of the site's templates, so that a retry renders what the run was rendered with.

    Raises:
        SpecError: they cannot be read, or do not fit this version of curator-slurm.
    """
    given = ((plan.site or {}).get("templates") or {}).get("folder")
    if given is None:
        return plan
    from curator_slurm.launcher.plan.template_overrides import check

    templates = site_templates(given, plan.origins.get(KEY, "a site file"), environ)
    check(templates)
    return plan.model_copy(update={"templates": templates})


def site_templates(folder: str, where: str, environ: Mapping[str, str]) -> list[SiteTemplate]:
    """The templates in the folder that a site file names at `where`."""
    return [
        SiteTemplate(name=each.name, path=str(each.path), text=each.text, originals=dict(each.originals))
        for each in read_templates(template_folder(folder, where, environ), where)
    ]


def template_folder(folder: str, where: str, environ: Mapping[str, str]) -> FilePath:
    """The folder that a site file names, with its variables expanded."""
    try:
        return FilePath(absolute(folder, FilePath.cwd(), environ))
    except ValueError as error:
        raise SpecError([SpecProblem(KEY, f"`{KEY}` {error}", where)], where) from None


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif path:
        yield path
