"""`curator-slurm remove`: remove runs that are over."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._options import json_option, runs_dir_option
from curator_slurm.launcher.cli._terminal import confirm, say, say_json
from curator_slurm.launcher.errors import CuratorSlurmError, UsageError
from curator_slurm.launcher.operations.remove import Candidate, candidates, remove
from curator_slurm.launcher.runs import registry

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command()
@click.argument("names", metavar="[RUN]...", nargs=-1, shell_complete=_completion.runs)
@click.option("--older-than", metavar="AGE", help="All runs that ended so long ago, such as 30d, 12h or 4w.")
@click.option("--name", metavar="NAME", help="With --older-than: only runs of this name.")
@click.option("--outputs", is_flag=True, help="Also runs with outputs in their run directory and nowhere else.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@runs_dir_option
def command(
    names: tuple[str, ...],
    older_than: str | None,
    name: str | None,
    outputs: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Remove runs that are over: their plans, logs and records.

    What was published to `output.path` stays. A run whose outputs are in its run directory and nowhere else stays,
    too, unless --outputs is given; so does a run that is pending or running, and one of another user.

    \b
    curator-slurm remove 20261123-205312-k3f9
    curator-slurm remove --older-than 30d --dry-run
    """
    if bool(names) == bool(older_than):
        raise UsageError("name the runs to remove, or give --older-than AGE for all that ended so long ago")
    if name is not None and not older_than:
        raise UsageError("--name belongs to --older-than; a run is named by itself")
    folders = folders_of(runs_dir)
    if older_than:
        before = time.time() - _age(older_than)
        runs = [registry.load_run(path) for path in registry.run_directories(folders, name or "*")]
        found = [each for each in candidates(runs, outputs=outputs) if each.state.is_final and each.ended < before]
    else:
        runs = list({run.run_id: run for run in (registry.find_run(text, folders) for text in names)}.values())
        found = candidates(runs, outputs=outputs)
    going = [each for each in found if not each.kept]
    for each in found:
        if each.kept:
            say(f"{each.run.run_id} ({each.run.name}) {each.kept}", err=True)
    if going and not dry_run and not yes and (older_than or sys.stdin.isatty()):
        _confirm(going)
    removed = [] if dry_run else [each for each in going if _removed(each, outputs)]
    if as_json:
        say_json([_row(each, removed, dry_run) for each in found])
    else:
        for each in going if dry_run else removed:
            say(f"{'Would remove' if dry_run else 'Removed'} {_words(each)}")
        if not found:
            say("No run ended so long ago." if older_than else "Nothing to remove.", err=True)
    if names and len(going if dry_run else removed) < len(found):
        raise click.exceptions.Exit(UsageError.exit_code)


def _age(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([mhdw])", text)
    if found is None:
        raise UsageError(f"--older-than {text!r}: give a number of minutes, hours, days or weeks: 90m, 12h, 30d, 4w")
    return float(found[1]) * _SECONDS[found[2]]


def _confirm(going: list[Candidate]) -> None:
    """Ask; whoever cannot be asked must have said --yes."""
    if not sys.stdin.isatty():
        raise UsageError(f"{words.several(len(going), 'run')} would be removed; give --yes, or --dry-run to see which")
    for each in going:
        say(f"  {_words(each)}", err=True)
    confirm(f"Remove {words.several(len(going), 'run')}?")


def _removed(each: Candidate, outputs: bool) -> bool:
    try:
        remove(each.run, outputs=outputs)
    except CuratorSlurmError as error:
        say(f"Error: {error}", err=True)
        return False
    return True


def _words(each: Candidate) -> str:
    return f"{each.run.run_id}  {each.run.name}  {each.state}  {words.clock(each.ended or None)}"


def _row(each: Candidate, removed: list[Candidate], dry_run: bool) -> dict[str, object]:
    return {
        "run_id": each.run.run_id,
        "name": each.run.name,
        "state": each.state.value,
        "ended": each.ended or None,
        "removed": each in removed,
        "would_be_removed": dry_run and not each.kept,
        "message": each.kept,
    }
