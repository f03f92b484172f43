"""`curator-slurm submit`: submit a spec and print the id of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curator_slurm.launcher.cli._options import (
    INTERVAL_S,
    cluster_option,
    imports_option,
    json_option,
    set_option,
    site_option,
    spec_argument,
)

if TYPE_CHECKING:
    from curator_slurm.launcher.cli._submitting import SubmittedRun


@click.command()
@spec_argument
@set_option
@cluster_option
@site_option
@click.option(
    "--like", metavar="RUN", help="Set what `advise` says of this run; options of the command line count more."
)
@click.option(
    "--notify",
    metavar="HOW",
    help="Tell of the end: a bash command, or a webhook as '${env:NAME}' or file:PATH; see `notify` of the spec.",
)
@click.option("--feed", is_flag=True, help="Stay, and submit what is above a limit of the queue as there is room.")
@click.option("--watch", is_flag=True, help="Follow the run until it ends.")
@click.option("--dry-run", is_flag=True, help="Show the script and the command, and submit nothing.")
@imports_option
@json_option
def command(
    spec_path: Path,
    overrides: tuple[str, ...],
    cluster: str,
    like: str | None,
    notify: str | None,
    feed: bool,
    watch: bool,
    dry_run: bool,
    imports: bool,
    as_json: bool,
) -> None:
    """Submit a spec and print the id of the run.

    The spec and its pipeline are checked first, as by validate, and nothing is written if they have errors. A run on
    this machine (--cluster local) is started in the background and keeps running when the terminal is closed.

    Where a user may have fewer jobs in the queue than a run has array elements, as many are submitted as fit. With
    --feed the command stays and submits the rest as others end; Ctrl-C stops that, not the run.

    \b
    Exit codes: 0 submitted, 2 the spec has errors,
    5 Slurm refused or is not reachable; with --watch those of watch.
    """
    from curator_slurm.launcher.cli._submitting import SubmitRequest, show_dry_run, submit_request
    from curator_slurm.launcher.cli._terminal import say, say_json
    from curator_slurm.launcher.operations.launch import is_submit_limit
    from curator_slurm.launcher.runs.known_folders import reference

    request = SubmitRequest(spec_path, (*_advised(like), *_notified(notify), *overrides), cluster, imports)
    if dry_run:
        if watch or feed:
            raise click.UsageError(f"--dry-run submits nothing that --{'watch' if watch else 'feed'} could follow")
        show_dry_run(request, as_json=as_json)
        return
    submitted = submit_request(request, feeds=feed)
    details = submitted.details()
    if not as_json:
        _show(submitted, details["shards"])
    problem = submitted.submitted.problem
    if feed and (not problem or is_submit_limit(submitted.submitted.error)):
        from curator_slurm.launcher.cli._feeding import all_job_ids, feed_to_end

        feed_to_end(submitted.run)
        problem, details = "", {**details, "problem": None, "job_ids": all_job_ids(submitted.run)}
    if problem:
        say(f"Error: {problem}", err=True)
        if as_json:
            say_json(details)
        assert submitted.submitted.error is not None
        raise click.exceptions.Exit(submitted.submitted.error.exit_code)
    if watch:
        from curator_slurm.launcher.cli._follow import follow_to_end

        follow_to_end(submitted.run, interval_s=INTERVAL_S, as_json=as_json, cancel_on_interrupt=False)
    elif as_json:
        say_json(details)
    else:
        _say_what_next(reference(submitted.run, os.environ))


def _advised(like: str | None) -> tuple[str, ...]:
    """Settings that `advise` says of the run of --like."""
    if like is None:
        return ()
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._show_advice import settings_like

    return settings_like(run_to_read(like, None))


def _notified(notify: str | None) -> tuple[str, ...]:
    """Settings that --notify stands for."""
    if notify is None:
        return ()
    from curator_slurm.launcher.cli._notifying import settings_of

    return settings_of(notify)


def _show(submitted: SubmittedRun, shards: int | None) -> None:
    """What was submitted, and where it is."""
    from curator_slurm.launcher.cli._terminal import say
    from curator_slurm.launcher.runs.user_code import newest_code

    say(f"Run      {submitted.run.run_id}")
    say(f"Job      {' '.join(submitted.submitted.job_ids) or 'none'} ({submitted.where})")
    if shards is not None:
        say(f"Shards   {shards:,}")
    say(f"Run dir  {submitted.run.paths.root}")
    if code := newest_code(submitted.run.paths):
        say(f"Code     {code[1].summary()}")


def _say_what_next(run: str) -> None:
    from curator_slurm.launcher.cli._terminal import say

    say(f"\nFollow it with  curator-slurm watch {run}")
    say(f"or see          curator-slurm status {run}")
    say(f"                curator-slurm logs -f {run}")
    say(f"Cancel it with  curator-slurm cancel {run}")
