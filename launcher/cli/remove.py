"""`curator-slurm remove`: remove runs that are over."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._options import json_option, runs_dir_option
from curator_slurm.launcher.errors import UsageError


@click.command()
@click.argument("names", metavar="[RUN]...", nargs=-1, shell_complete=_completion.runs)
@click.option("--older-than", metavar="AGE", help="All runs that ended so long ago, such as 30d, 12h or 4w.")
@click.option("--name", metavar="NAME", help="With --older-than: only runs of this name.")
@click.option("--outputs", is_flag=True, help="Also runs with outputs in their run directory and nowhere else.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@runs_dir_option
def command(
    names: tuple[str, ...],
    older_than: str | None,
    name: str | None,
    outputs: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Remove runs that are over: their plans, logs and records.

    What was published to `output.path` stays. A run whose outputs are in its run directory and nowhere else stays,
    too, unless --outputs is given; so does a run that is pending or running, and one of another user.

    \b
    curator-slurm remove 20261123-205312-k3f9
    curator-slurm remove --older-than 30d --dry-run
    """
    if bool(names) == bool(older_than):
        raise UsageError("name the runs to remove, or give --older-than AGE for all that ended so long ago")
    if name is not None and not older_than:
        raise UsageError("--name belongs to --older-than; a run is named by itself")
    from curator_slurm.launcher.cli._removing import remove_runs

    remove_runs(names, older_than, name, outputs=outputs, dry_run=dry_run, yes=yes, as_json=as_json, runs_dir=runs_dir)
