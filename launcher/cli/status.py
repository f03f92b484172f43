"""`curator-slurm status`: what a run has reached, or why it failed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from curator_slurm.launcher import runs
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._show import status_lines
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.cli.options import json_option, runs_dir_option
from curator_slurm.launcher.overview import describe, exit_code
from curator_slurm.launcher.snapshot import status_of


@click.command()
@click.argument("run", metavar="[RUN]", required=False)
@json_option
@runs_dir_option
def command(run: str | None, as_json: bool, runs_dir: Path | None) -> None:
    """Show what a run has reached, or why it failed.

    RUN is a run id, the beginning of one, a name (its latest run), a Slurm job id, or a path; without it, the
    latest run is shown. Shown are its state, for a failure its class, the log lines that prove it and what to do
    next, for a job that waits Slurm's reason in words, and what each stage has done.

    \b
    Exit codes: 0 completed or still under way, 6 failed, 8 cancelled,
    3 no such run, 5 Slurm cannot be asked and the run's files do not tell.
    """
    folders = folders_of(runs_dir)
    found = runs.find_run(run, folders) if run else runs.latest_run(folders)
    decision = status_of(found)
    overview = describe(found, decision)
    if as_json:
        say_json(overview)
    else:
        say("\n".join(status_lines(overview, width())))
    sys.stdout.flush()
    raise click.exceptions.Exit(exit_code(found, decision))
