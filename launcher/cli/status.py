"""`curator-slurm status`: what a run has reached, or why it failed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._options import json_option, runs_dir_option

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.registry import Run
    from curator_slurm.launcher.status.run_decision import RunStatus


@click.command()
@click.argument("run", metavar="[RUN]", required=False, shell_complete=_completion.runs)
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="Everything about one shard of a sharded run.")
@click.option("--failed", is_flag=True, help="List the shards that are neither done nor active, and why.")
@click.option("--attempts", is_flag=True, help="Every attempt: how it ended, what it had finished, where it ran.")
@click.option("--events", is_flag=True, help="What happened, over all attempts, in one timeline.")
@click.option(
    "--notify", is_flag=True, help="Tell of what it sees as the spec's `notify` says, if nobody has told yet."
)
@click.option("--timeline", is_flag=True, help="When each node and each driver reached what: where the seconds went.")
@json_option
@runs_dir_option
def command(
    run: str | None,
    shard: int | None,
    failed: bool,
    attempts: bool,
    events: bool,
    notify: bool,
    timeline: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
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
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._show_status import show_status
    from curator_slurm.launcher.errors import UsageError
    from curator_slurm.launcher.status.describe import exit_code

    if sum([failed, attempts, events, timeline]) > 1:
        raise click.UsageError("give one of --failed, --attempts, --events and --timeline")
    found = run_to_read(run, runs_dir)
    array = found.record is not None and found.record.array
    if (shard is not None or failed) and not array:
        raise UsageError(f"run {found.run_id} has no shards")
    if timeline:
        from curator_slurm.launcher.cli._show_timeline import show_timeline

        show_timeline(found, shard, as_json)
        return
    if events:
        from curator_slurm.launcher.cli._show_history import show_events

        show_events(found, shard, as_json)
        return
    see = _onlooker(found) if notify else None
    if attempts:
        from curator_slurm.launcher.cli._show_history import show_attempts

        status = show_attempts(found, shard, as_json)
    else:
        status = show_status(found, shard, failed, as_json)
    if see is not None:
        see(status)
    sys.stdout.flush()
    raise click.exceptions.Exit(exit_code(found, status))


def _onlooker(run: Run) -> Callable[[RunStatus], object]:
    """What tells people of a status; made before it is looked for, since that may remove secrets."""
    from curator_slurm.launcher.cli._notifying import onlooker_of

    return onlooker_of(run, "status").see
