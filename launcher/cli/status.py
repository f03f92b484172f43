"""`curator-slurm status`: what a run has reached, or why it failed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._options import json_option, runs_dir_option
from curator_slurm.launcher.cli._show import status_lines
from curator_slurm.launcher.cli._show_shards import failed_lines, shard_lines, shards_lines
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.decide import Decision
from curator_slurm.launcher.status.describe import describe, exit_code
from curator_slurm.launcher.status.gather import status_of
from curator_slurm.launcher.status.shards_describe import describe as shards_overview
from curator_slurm.launcher.status.shards_describe import failed_rows, shard_details
from curator_slurm.launcher.status.shards_gather import gather, is_sharded
from curator_slurm.launcher.status.shards_views import as_decision


@click.command()
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="All about one shard of a sharded run.")
@click.option("--failed", is_flag=True, help="List the shards that are neither done nor under way, and why.")
@json_option
@runs_dir_option
def command(run: str | None, shard: int | None, failed: bool, as_json: bool, runs_dir: Path | None) -> None:
    """Show what a run has reached, or why it failed.

    RUN is a run id, the beginning of one, a name (its latest run), a Slurm job id, or a path; without it, the
    latest run is shown. Shown are its state, for a failure its class, the log lines that prove it and what to do
    next, for a job that waits Slurm's reason in words, and what each stage has done.

    Of a sharded run, one screen however many shards: how many are done, running, pending and failed by class, the
    rate and the time that is left, the slowest and the failing ones.

    \b
    Exit codes: 0 completed or still under way, 6 failed, 7 some shards of an
    ended run are done, 8 cancelled, 3 no such run, 5 Slurm cannot be asked and
    the run's files do not tell.
    """
    folders = folders_of(runs_dir)
    found = registry.find_run(run, folders) if run else registry.latest_run(folders)
    if is_sharded(found):
        decision = _show_shards(found, shard, failed, as_json)
        raise click.exceptions.Exit(exit_code(found, decision))
    if shard is not None or failed:
        raise UsageError(f"run {found.run_id} has no shards")
    decision = status_of(found)
    overview = describe(found, decision)
    if as_json:
        say_json(overview)
    else:
        say("\n".join(status_lines(overview, width())))
    sys.stdout.flush()
    raise click.exceptions.Exit(exit_code(found, decision))


def _show_shards(run: Run, shard: int | None, failed: bool, as_json: bool) -> Decision:
    gathered = gather(run)
    decision = gathered.decide()
    if shard is not None:
        details = shard_details(run, gathered, decision, shard)
        say_json(details) if as_json else say("\n".join(shard_lines(details, width())))
    elif failed:
        rows = failed_rows(decision)
        if as_json:
            say_json(rows)
        else:
            say("\n".join(failed_lines(rows, width())) if rows else "No shard has failed.", err=not rows)
    else:
        overview = shards_overview(run, gathered, decision)
        say_json(overview) if as_json else say("\n".join(shards_lines(overview, width())))
    sys.stdout.flush()
    return as_decision(decision)
