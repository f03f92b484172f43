"""`curator-slurm status`: what a run has reached, or why it failed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._folders import run_to_read
from curator_slurm.launcher.cli._options import json_option, runs_dir_option
from curator_slurm.launcher.cli._show import status_lines
from curator_slurm.launcher.cli._show_shards import failed_lines, shard_lines, shards_lines
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.describe import describe, describe_shard, exit_code, open_shards
from curator_slurm.launcher.status.early import from_files, with_patience
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.views import to_json


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=_completion.runs)
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="Everything about one shard of a sharded run.")
@click.option("--failed", is_flag=True, help="List the shards that are neither done nor active, and why.")
@json_option
@runs_dir_option
def command(run: str | None, shard: int | None, failed: bool, as_json: bool, runs_dir: Path | None) -> None:
    """Show what a run has reached, or why it failed.

    RUN is a run id, the beginning of one, a name (its latest run), a Slurm job id, or a path; without it, the
    latest run is shown. Prints its state; for a failure its class, the log lines that prove it and what to do next; for
    a pending job Slurm's reason in words; and what each stage has done.

    Of a sharded run it prints one screen however many shards there are: how many are done, running, pending, and
    failed by class, the rate and the time left, the slowest and the failing ones.

    \b
    Exit codes: 0 completed or still active, 6 failed, 7 some shards of an
    ended run are done, 8 cancelled, 3 no such run, 5 Slurm cannot be asked and
    the run's files do not tell.
    """
    found = run_to_read(run, runs_dir)
    array = found.record is not None and found.record.array
    if (shard is not None or failed) and not array:
        raise UsageError(f"run {found.run_id} has no shards")
    status = _show(found, shard, failed, as_json)
    sys.stdout.flush()
    raise click.exceptions.Exit(exit_code(found, status))


def _show_files(run: Run) -> None:
    """What is known without Slurm, at once; its word follows."""
    if (found := from_files(run)) is not None:
        gathered, status = found
        view = describe(run, status, gathered)
        say("\n".join((shards_lines if view.array else status_lines)(view, width())))
        say("\nWaiting for Slurm, for half a minute at most ...\n")
        sys.stdout.flush()


def _show(run: Run, shard: int | None, failed: bool, as_json: bool) -> RunStatus:
    early = as_json or failed or shard is not None or run.record is None or run.record.is_local
    gathered, status = observe(run, shard) if early else with_patience(lambda: observe(run), lambda: _show_files(run))
    if gathered is not None and shard is not None:
        one = describe_shard(run, gathered, status, shard)
        say_json(to_json(one)) if as_json else say("\n".join(shard_lines(one, width())))
    elif failed:
        rows = open_shards(status)
        if as_json:
            say_json(to_json(rows))
        else:
            nothing = status.message if status.state is RunState.UNKNOWN else "No shard has failed."
            say("\n".join(failed_lines(rows, width())) if rows else nothing, err=not rows)
    else:
        view = describe(run, status, gathered)
        lines = shards_lines if view.array else status_lines
        say_json(to_json(view)) if as_json else say("\n".join(lines(view, width())))
    return status
