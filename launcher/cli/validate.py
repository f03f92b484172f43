"""`curator-slurm validate`: every error of a spec, before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curator_slurm.common.in_words import several
from curator_slurm.launcher.cli import _options

if TYPE_CHECKING:
    from curator_slurm.launcher.errors import SpecProblem


@click.command("validate")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
@_options.site_option
@_options.imports_option
@_options.json_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, imports: bool, as_json: bool) -> None:
    """Check a spec and report every error in it.

    Checks the whole spec and what it refers to on this machine: input files, environments, folders, secrets. Then the
    pipeline and the executor are made, in a process of the Python that the job will use, and nothing is run. Nothing
    is written. Exits with 2 if there is any error. Warnings, such as of what looks like a secret, or of what cannot be
    looked at on this machine, are not errors.
    """
    from curator_slurm.launcher.cli._terminal import say, say_json
    from curator_slurm.launcher.errors import SitePolicyError, SpecError
    from curator_slurm.launcher.plan.resolve import choose_cluster, plan_of
    from curator_slurm.launcher.site.specs import read_spec
    from curator_slurm.launcher.spec import spec_file

    reading = None
    try:
        reading, layers = read_spec(spec_path, overrides, _options.environ())
        place = choose_cluster(cluster)
        plan = plan_of(reading, spec_file.folder_of(spec_path), place, os.environ, imports=imports, layers=layers)
        warnings = reading.warnings()
    except (SpecError, SitePolicyError) as error:
        warnings = reading.warnings() if reading is not None else []
        if as_json:
            say_json({"valid": False, "problems": _listed(error.problems), "warnings": _listed(warnings)})
            click.get_current_context().exit(error.exit_code)
        _warn(warnings)
        raise
    if as_json:
        say_json(
            {
                "valid": True,
                "problems": [],
                "warnings": _listed(warnings),
                "name": plan.spec.name,
                "cluster": plan.cluster.value,
            }
        )
    else:
        _warn(warnings)
        own = ", of which the first is the head and takes no tasks" if plan.spec.has_own_head else ""
        resources = plan.spec.resources
        own += "".join(f", {group.nodes} in {group.name}" for group in resources.groups)
        where = "this machine" if plan.cluster == "local" else f"Slurm, {several(resources.nodes, 'node')}{own}"
        say(f"{spec_path} is valid: {plan.spec.name} on {where}.")


def _listed(problems: Sequence[SpecProblem]) -> list[dict[str, str]]:
    return [{"key": each.key, "where": each.where, "message": each.message} for each in problems]


def _warn(warnings: Sequence[SpecProblem]) -> None:
    from curator_slurm.launcher.cli._terminal import say

    for warning in warnings:
        say(f"Warning: {warning}", err=True)
