"""`curator-slurm list`: the user's runs, newest first."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import json_option, runs_dir_option
from curator_slurm.launcher.states import RunState


@click.command(name="list")
@click.option("--name", metavar="NAME", help="Only runs of this name.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in RunState]),
    metavar="STATE",
    help=f"Only runs in this state: {', '.join(RunState)}.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N", help="At most N; 0: all."
)
@json_option
@runs_dir_option
def command(name: str | None, state: str | None, limit: int, as_json: bool, runs_dir: Path | None) -> None:
    """List your runs, newest first.

    TIME is how long a run has been running, or ran; DATE is when it was submitted. A narrow terminal gets fewer
    columns, a program that reads the output all of them, with names uncut. In a folder that is given with
    --runs-dir, runs of other users are listed too, as far as you may read them, with their OWNER.
    """
    from curator_slurm.launcher.cli._run_table import print_runs

    print_runs(name, state, limit, as_json, runs_dir)
