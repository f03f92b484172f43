"""`curator-slurm retry`: submit again what is not done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._options import json_option, numbers, run_argument, runs_dir_option, set_option
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.operations.retry import Retry, RetryRequest, preview, retry
from curator_slurm.launcher.operations.select_shards import Selection
from curator_slurm.launcher.ranges import format_numbers, some_numbers
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.sharding.revise_input import InputRevision


@click.command()
@run_argument
@set_option
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([failure.value for failure in FailureClass]),
    metavar="CLASS",
    help="Only what failed with this class, such as out_of_memory. May be repeated.",
)
@click.option("--shard", "shards", multiple=True, metavar="N[,N-M]", help="Only these shards. May be repeated.")
@click.option(
    "--accept-changed-input", is_flag=True, help="Take input files that have changed since submission as they are now."
)
@click.option("--skip-file", "skip", multiple=True, metavar="PATH", help="Leave out this input file. May be repeated.")
@click.option("--update-code", is_flag=True, help="Take the modules beside the spec as they are now.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted, and submit nothing.")
@json_option
@runs_dir_option
def command(
    run: str,
    overrides: tuple[str, ...],
    classes: tuple[str, ...],
    shards: tuple[str, ...],
    accept_changed_input: bool,
    skip: tuple[str, ...],
    update_code: bool,
    dry_run: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Submit again what is not done.

    Of a sharded run, the shards that are neither done nor active: failed, cancelled, or never submitted. A run
    without shards is submitted again in its run directory when it has failed. Earlier attempts and their logs are
    kept. It can be repeated: with nothing left to do it does nothing, which is not an error.

    --set changes how and where it runs (resources, environment, cluster, failures, network, executor.config), never
    what the outputs are. Settings of the last attempt are kept. So is the code: the modules beside the spec are those
    that were submitted, unless --update-code is given.

    A shard whose input files are not as planned fails, so that no output is made of half-written files. Once they are
    right, --accept-changed-input takes them as they are now; --skip-file leaves out a file that cannot be read.

    \b
    Exit codes: 0 submitted, or nothing to do; 2 a wrong setting or shard;
    3 no such run; 5 Slurm refused or is not reachable.
    """
    found = registry.find_run(run, folders_of(runs_dir))
    selection = Selection([FailureClass(name) for name in classes], numbers(shards, "--shard"))
    revision = InputRevision(accept_changed_input, skip)
    request = RetryRequest(selection, overrides, revision, update_code=update_code)
    result = (preview if dry_run else retry)(found, request, os.environ)
    for warning in result.warnings:
        say(f"Note: {warning}", err=True)
    if as_json:
        say_json(_document(result, dry_run))
    else:
        _show(result, dry_run)
    if result.launched is not None and result.launched.error is not None:
        say(f"Error: {result.launched.problem}", err=True)
        raise click.exceptions.Exit(result.launched.error.exit_code)


def _document(result: Retry, dry_run: bool) -> dict[str, Any]:
    launched = result.launched
    return {
        "run_id": result.run.run_id,
        "dry_run": dry_run,
        "shards": list(result.choice.shards),
        "why": dict(result.choice.why),
        "passed_over": {str(shard): why for shard, why in result.choice.passed_over.items()},
        "changes": dict(result.changes),
        "revised": [shard.index for shard in result.revised],
        "arrays": [array.indices for array in result.arrays],
        "job_ids": launched.job_ids if launched else [],
        "submissions": [submission.record.number for submission in launched.accepted] if launched else [],
        "missing": launched.missing if launched else 0,
    }


def _show(result: Retry, dry_run: bool) -> None:
    choice = result.choice
    for why in dict.fromkeys(choice.passed_over.values()):
        same = [shard for shard, reason in choice.passed_over.items() if reason == why]
        say(f"Left as is: {some_numbers(same)} ({why})")
    if not choice.shards:
        say(f"Nothing to submit: {result.nothing}")
        return
    sharded = result.run.record is not None and result.run.record.array
    reasons = ", ".join(f"{count:,} {why}" for why, count in choice.why.items())
    if sharded:
        shards = choice.shards if result.launched is None else result.launched.shards
        all_of_them = _count(len(choice.shards), "shard")
        what = all_of_them if len(shards) == len(choice.shards) else f"{len(shards):,} of {all_of_them}"
        say(f"{'Would submit' if dry_run else 'Submitted'} {what} again: {reasons}")
        say(f"Shards   {format_numbers(shards) if dry_run else some_numbers(shards)}")
    else:
        say(f"{'Would submit' if dry_run else 'Submitted'} the run again: {reasons}")
    for shard in result.revised:
        left_out = f", without {_count(len(shard.skipped), 'file')}" if shard.skipped else ""
        name = f"shard {shard.index}: " if sharded else ""
        say(f"Input    {name}{_count(len(shard.files), 'file')} as they are now{left_out}")
    for key, value in result.changes.items():
        say(f"Changed  {key}={value}")
    if result.after:
        say(f"It starts after {', '.join(result.after)} has ended (shards.max_running)")
    if result.launched is not None:
        say(f"Job      {', '.join(result.launched.job_ids)}")
        say(f"\nFollow it with  curator-slurm watch {reference(result.run, os.environ)}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
