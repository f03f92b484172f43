"""Following a run to its end, for `watch`, `run` and `submit --watch`."""

from __future__ import annotations

import click

from curator_slurm.launcher.cli._progress import open_view
from curator_slurm.launcher.cli._show import summary_lines
from curator_slurm.launcher.cli._show_shards import shards_lines
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.operations.cancel import request_cancel
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.decide import Decision
from curator_slurm.launcher.status.describe import describe, exit_code
from curator_slurm.launcher.status.shards_describe import describe as describe_shards
from curator_slurm.launcher.status.shards_gather import gather, is_sharded
from curator_slurm.launcher.status.watch import Watcher

INTERVAL_S = 2.0


def follow_to_end(run: Run, *, interval_s: float, as_json: bool, cancel_on_interrupt: bool) -> None:
    """Show a run until it ends, then how it ended; leaves with the run's exit code.

    Ctrl-C ends the watching, or, with `cancel_on_interrupt`, the run: then a second one leaves at once.
    """
    watcher = Watcher(run)
    try:
        decision = _show_until_final(watcher, interval_s, as_json)
    except KeyboardInterrupt:
        if not cancel_on_interrupt:
            say(
                f"\nNo longer watching; run {run.run_id} goes on. `curator-slurm cancel {run.run_id}` ends it.",
                err=True,
            )
            raise
        say(f"\nCancelling run {run.run_id}; Ctrl-C again leaves without waiting for its end.", err=True)
        request_cancel(watcher.run)
        decision = _show_until_final(watcher, interval_s, as_json)
    if is_sharded(watcher.run):
        gathered = gather(watcher.run)
        overview = describe_shards(watcher.run, gathered, gathered.decide())
        lines = shards_lines(overview, width())
    else:
        overview = describe(watcher.run, decision)
        lines = summary_lines(overview, width())
    if as_json:
        say_json(overview)
    else:
        say("\n".join(["", *lines]))
    raise click.exceptions.Exit(exit_code(watcher.run, decision))


def _show_until_final(watcher: Watcher, interval_s: float, as_json: bool) -> Decision:
    view = open_view(err=as_json)
    doubts: set[str] = set()
    try:
        for decision in watcher.follow(interval_s):
            for warning in decision.warnings:
                if warning not in doubts:
                    doubts.add(warning)
                    say(f"Warning: {warning}", err=True)
            view.show(decision)
    finally:
        view.close()
    return decision
