"""Following a run to its end, for `watch`, `run` and `submit --watch`."""

from __future__ import annotations

import os
import sys

import click

from curator_slurm.launcher.cli._notifying import onlooker_of
from curator_slurm.launcher.cli._progress import open_view
from curator_slurm.launcher.cli._show import entry, summary_lines
from curator_slurm.launcher.cli._show_report import leave_report
from curator_slurm.launcher.cli._show_shards import shards_lines
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.operations.cancel import request_cancel
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.describe import describe, exit_code
from curator_slurm.launcher.status.logs import last_output
from curator_slurm.launcher.status.node_glances import NodeGlances
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.views import to_json
from curator_slurm.launcher.status.watch import Watcher


def follow_to_end(run: Run, *, interval_s: float, as_json: bool, cancel_on_interrupt: bool) -> None:
    """Show a run until it ends, then how it ended; exits with the run's exit code.

    Ctrl-C stops watching, or, with `cancel_on_interrupt`, cancels the run: then a second one exits at once.
    """
    watcher = Watcher(run)
    try:
        status = _show_until_final(watcher, interval_s, as_json)
    except KeyboardInterrupt:
        if not cancel_on_interrupt:
            cancel = f"curator-slurm cancel {reference(run, os.environ)}"
            say(f"\nStopped watching; run {run.run_id} goes on. `{cancel}` cancels it.", err=True)
            raise
        say(f"\nCancelling run {run.run_id}; Ctrl-C again exits without waiting for its end.", err=True)
        request_cancel(watcher.run)
        status = _show_until_final(watcher, interval_s, as_json)
    view = describe(watcher.run, status, watcher.gathered)
    if as_json:
        say_json(to_json(view))
    else:
        say("\n".join(["", *(shards_lines if view.array else summary_lines)(view, width())]))
    sys.stdout.flush()
    report = leave_report(watcher.run)
    if report is not None and not as_json:
        say("\n".join(entry("Report", str(report))))
    raise click.exceptions.Exit(exit_code(watcher.run, status))


def _show_until_final(watcher: Watcher, interval_s: float, as_json: bool) -> RunStatus:
    view = open_view(err=as_json)
    onlooker = onlooker_of(watcher.run, "watch")
    warned: set[str] = set()
    nodes = NodeGlances(watcher.run.paths)
    try:
        for status in watcher.follow(interval_s):
            # Those of the end are in the summary.
            for warning in status.warnings if as_json or not status.state.is_final else ():
                if warning not in warned:
                    warned.add(warning)
                    say(f"Warning: {warning}", err=True)
            view.show(status, _output(watcher.run, status))
            onlooker.see(status)
            if status.state in (RunState.RUNNING, RunState.DRAINING):
                view.show_nodes(nodes)
    finally:
        view.close()
    return status


def _output(run: Run, status: RunStatus) -> str:
    """What a command printed last; a pipeline has figures of its stages."""
    is_command = not status.stages and not (run.record and run.record.array)
    return last_output(run) if is_command and status.state in (RunState.RUNNING, RunState.COMPLETED) else ""
