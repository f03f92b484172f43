"""`curator-slurm cancel`: cancel runs."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._options import json_option, numbers, runs_dir_option


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True, shell_complete=_completion.runs)
@click.option("--shard", "shards", multiple=True, metavar="N[,N-M]", help="Only these shards of a sharded run.")
@click.option("--submission", "submissions", multiple=True, metavar="N[,N-M]", help="Only these submissions.")
@json_option
@runs_dir_option
def command(
    names: tuple[str, ...], shards: tuple[str, ...], submissions: tuple[str, ...], as_json: bool, runs_dir: Path | None
) -> None:
    """Cancel runs.

    Slurm jobs are cancelled with scancel; local runs get SIGTERM, and SIGKILL when they do not end. A run that has
    already ended is left as it is, which is not an error. Logs and what was written so far stay in the run directory.

    With --shard or --submission only the array elements that hold these shards, or belong to these submissions, are
    ended. What is done stays done; `retry` submits the rest again.
    """
    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.cli._terminal import say, say_json
    from curator_slurm.launcher.errors import CuratorSlurmError
    from curator_slurm.launcher.operations.cancel import cancel_part, cancel_run
    from curator_slurm.launcher.runs import registry

    part = (numbers(shards, "--shard"), numbers(submissions, "--submission"))
    if part != (None, None) and len(names) > 1:
        raise click.UsageError("--shard and --submission require exactly one run")
    folders = folders_of(runs_dir)
    found = [registry.find_run(name, folders) for name in names]
    results, first_error = [], None
    for run in found:
        try:
            done = cancel_run(run) if part == (None, None) else cancel_part(run, *part)
        except CuratorSlurmError as error:
            first_error = first_error or error
            results.append({"run_id": run.run_id, "state": None, "done": False, "message": str(error)})
            say(f"Error: {run.run_id}: {error}", err=True)
        else:
            results.append(
                {"run_id": run.run_id, "state": done.state.value, "done": done.done, "message": done.message}
            )
            say(f"{run.run_id} {done.message}", err=as_json)
    if as_json:
        say_json(results)
    if first_error is not None:
        raise click.exceptions.Exit(first_error.exit_code)
