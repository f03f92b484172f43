"""`curator-slurm advise`: what the same pipeline could ask for next time."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._options import json_option, runs_dir_option


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=_completion.runs)
@json_option
@runs_dir_option
def command(run: str | None, as_json: bool, runs_dir: Path | None) -> None:
    """Advise what to ask for next time, by what was measured.

    RUN is a run id, the beginning of one, a name (its latest run), a Slurm job id, or a path; without it, it is the
    latest run. Each line is a setting for --set, with the figures behind it and what it would have saved;
    `submit SPEC --like RUN` takes them all. Without a figure there is no advice.
    """
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._show_advice import print_advice

    print_advice(run_to_read(run, runs_dir), as_json)
