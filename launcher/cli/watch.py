"""`curator-slurm watch`: follow a run until it ends."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import INTERVAL_S, json_option, run_argument, runs_dir_option


@click.command()
@run_argument
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=INTERVAL_S,
    show_default=True,
    metavar="SECONDS",
    help="How often to update.",
)
@json_option
@runs_dir_option
def command(run: str, interval: float, as_json: bool, runs_dir: Path | None) -> None:
    """Follow the progress of a run until it ends.

    On a terminal there is a bar for each stage; anywhere else a line whenever something has changed, and at least
    one a minute. Ctrl-C stops watching, not the run. With --json, progress goes to stderr and the final status
    to stdout.

    Exit codes: 0 the run completed, 6 it failed, 7 some of its shards are not done, 8 it was cancelled.
    """
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._follow import follow_to_end
    from curator_slurm.launcher.runs import registry

    found = registry.check_readable(run_to_read(run, runs_dir))
    follow_to_end(found, interval_s=interval, as_json=as_json, cancel_on_interrupt=False)
