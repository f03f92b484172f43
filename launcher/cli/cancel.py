"""`curator-slurm cancel`: end runs."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher import runs
from curator_slurm.launcher.cancel import cancel_run
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.cli.options import json_option, runs_dir_option
from curator_slurm.launcher.errors import CuratorSlurmError


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@json_option
@runs_dir_option
def command(names: tuple[str, ...], as_json: bool, runs_dir: Path | None) -> None:
    """Cancel runs.

    Slurm jobs are cancelled with scancel; local runs get SIGTERM, and SIGKILL when they do not end. A run that has
    ended already is left as it is, which is no error. Logs and what was written so far stay in the run directory.
    """
    folders = folders_of(runs_dir)
    found = [runs.find_run(name, folders) for name in names]
    results, first_error = [], None
    for run in found:
        try:
            done = cancel_run(run)
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
