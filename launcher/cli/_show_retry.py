"""What `curator-slurm retry` prints."""

from __future__ import annotations

import os
from typing import Any

import click

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.operations.retry import Retry
from curator_slurm.launcher.ranges import format_numbers, some_numbers
from curator_slurm.launcher.runs.known_folders import reference


def show_retry(result: Retry, *, dry_run: bool, as_json: bool) -> None:
    """What was submitted or would be, and why; ends the command where not all of it could be submitted."""
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
        all_of_them = words.several(len(choice.shards), "shard")
        what = all_of_them if len(shards) == len(choice.shards) else f"{len(shards):,} of {all_of_them}"
        say(f"{'Would submit' if dry_run else 'Submitted'} {what} again: {reasons}")
        say(f"Shards   {format_numbers(shards) if dry_run else some_numbers(shards)}")
    else:
        say(f"{'Would submit' if dry_run else 'Submitted'} the run again: {reasons}")
    for shard in result.revised:
        left_out = f", without {words.several(len(shard.skipped), 'file')}" if shard.skipped else ""
        name = f"shard {shard.index}: " if sharded else ""
        say(f"Input    {name}{words.several(len(shard.files), 'file')} as they are now{left_out}")
    for key, value in result.changes.items():
        say(f"Changed  {key}={value}")
    if result.after:
        say(f"It starts after {', '.join(result.after)} has ended (shards.max_running)")
    if result.launched is not None:
        say(f"Job      {', '.join(result.launched.job_ids)}")
        say(f"\nFollow it with  curator-slurm watch {reference(result.run, os.environ)}")
