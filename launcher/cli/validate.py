"""`curator-slurm validate`: every error of a spec, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curator_slurm.launcher.cli import _options


@click.command("validate")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
@_options.json_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, as_json: bool) -> None:
    """Check a spec and report every error in it.

    Checks the whole spec and what it refers to on this machine: input files, environments, folders, secrets. Nothing
    is written. Exits with 2 if there is any error.
    """
    from curator_slurm.launcher.errors import SpecError
    from curator_slurm.launcher.plan.resolve import choose_cluster, make_plan

    try:
        plan = make_plan(spec_path, overrides, choose_cluster(cluster), os.environ)
    except SpecError as error:
        if not as_json:
            raise
        problems = [{"key": each.key, "where": each.where, "message": each.message} for each in error.problems]
        _print_json({"valid": False, "problems": problems})
        click.get_current_context().exit(error.exit_code)
    if as_json:
        _print_json({"valid": True, "problems": [], "name": plan.spec.name, "cluster": plan.cluster.value})
    else:
        where = "this machine" if plan.cluster == "local" else f"Slurm, {plan.spec.resources.nodes} node(s)"
        click.echo(f"{spec_path} is valid: {plan.spec.name} on {where}.")


def _print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
