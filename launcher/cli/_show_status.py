"""What `curator-slurm status` prints."""

from __future__ import annotations

import sys

from curator_slurm.launcher.cli._show import status_lines
from curator_slurm.launcher.cli._show_shards import failed_lines, shard_lines, shards_lines
from curator_slurm.launcher.cli._terminal import say, say_json, table_width, width
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.describe import describe, describe_shard, open_shards
from curator_slurm.launcher.status.early import from_files, with_patience
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.views import to_json


def _show_files(run: Run) -> None:
    """What is known without Slurm, at once; its word follows."""
    if (found := from_files(run)) is not None:
        gathered, status = found
        view = describe(run, status, gathered)
        say("\n".join((shards_lines if view.array else status_lines)(view, width())))
        say("\nWaiting for Slurm, for half a minute at most ...\n")
        sys.stdout.flush()


def show_status(run: Run, shard: int | None, failed: bool, as_json: bool) -> RunStatus:
    """Print what was asked for."""
    early = as_json or failed or shard is not None or run.record is None or run.record.is_local
    gathered, status = (
        observe(run, shard, shares=True)
        if early
        else with_patience(lambda: observe(run, shares=True), lambda: _show_files(run))
    )
    if gathered is not None and shard is not None:
        one = describe_shard(run, gathered, status, shard)
        say_json(to_json(one)) if as_json else say("\n".join(shard_lines(one, width())))
    elif failed:
        rows = open_shards(status)
        if as_json:
            say_json(to_json(rows))
        else:
            nothing = status.message if status.state is RunState.UNKNOWN else "No shard has failed."
            say("\n".join(failed_lines(rows, table_width())) if rows else nothing, err=not rows)
    else:
        view = describe(run, status, gathered)
        lines = shards_lines if view.array else status_lines
        say_json(to_json(view)) if as_json else say("\n".join(lines(view, width())))
    return status
