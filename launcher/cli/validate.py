"""`curator-slurm validate`: every error of a spec, before anything is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curator_slurm.launcher.cli import _options

if TYPE_CHECKING:
    from curator_slurm.launcher.errors import SpecProblem


@click.command("validate")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
@_options.json_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, as_json: bool) -> None:
    """Check a spec and report every error in it.

    Checks the whole spec and what it refers to on this machine: input files, environments, folders, secrets. Nothing
    is written. Exits with 2 if there is any error. Warnings, such as of what looks like a secret, are not errors.
    """
    from curator_slurm.launcher.cli._terminal import say, say_json
    from curator_slurm.launcher.errors import SpecError
    from curator_slurm.launcher.plan.resolve import choose_cluster, plan_of
    from curator_slurm.launcher.spec import spec_file

    warnings: list[SpecProblem] = []
    try:
        reading = spec_file.read(spec_path, overrides)
        warnings = reading.warnings()
        plan = plan_of(reading, spec_file.folder_of(spec_path), choose_cluster(cluster), os.environ)
    except SpecError as error:
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
        where = "this machine" if plan.cluster == "local" else f"Slurm, {plan.spec.resources.nodes} node(s)"
        say(f"{spec_path} is valid: {plan.spec.name} on {where}.")


def _listed(problems: Sequence[SpecProblem]) -> list[dict[str, str]]:
    return [{"key": each.key, "where": each.where, "message": each.message} for each in problems]


def _warn(warnings: Sequence[SpecProblem]) -> None:
    from curator_slurm.launcher.cli._terminal import say

    for warning in warnings:
        say(f"Warning: {warning}", err=True)
