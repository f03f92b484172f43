"""`curator-slurm retry`: submit again what is not done."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curator_slurm.launcher.cli._options import json_option, numbers, run_argument, runs_dir_option, set_option
from curator_slurm.launcher.failure_classes import FailureClass


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
@click.option("--feed", is_flag=True, help="Stay, and submit what is above a limit of the queue as there is room.")
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
    feed: bool,
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

    --feed stays to submit the shards that were never submitted; what failed is submitted again without it.

    \b
    Exit codes: 0 submitted, or nothing to do; 2 a wrong setting or shard;
    3 no such run; 5 Slurm refused or is not reachable.
    """
    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.cli._show_retry import show_retry
    from curator_slurm.launcher.operations.retry import RetryRequest, preview, retry
    from curator_slurm.launcher.operations.select_shards import Selection
    from curator_slurm.launcher.runs import registry
    from curator_slurm.launcher.sharding.revise_input import InputRevision

    found = registry.find_run(run, folders_of(runs_dir))
    if feed:
        if dry_run or overrides or classes or shards or accept_changed_input or skip or update_code:
            raise click.UsageError("--feed submits what was never submitted, as it was planned: give it alone")
        from curator_slurm.launcher.cli._feeding import feed_to_end

        feed_to_end(found)
        return
    selection = Selection([FailureClass(name) for name in classes], numbers(shards, "--shard"))
    revision = InputRevision(accept_changed_input, skip)
    request = RetryRequest(selection, overrides, revision, update_code=update_code)
    result = (preview if dry_run else retry)(found, request, os.environ)
    show_retry(result, dry_run=dry_run, as_json=as_json)
