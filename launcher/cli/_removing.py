"""What `curator-slurm remove` does and prints."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import click

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._terminal import confirm, say, say_json
from curator_slurm.launcher.errors import CuratorSlurmError, UsageError
from curator_slurm.launcher.operations.remove import Candidate, candidates, remove
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.run_folders import run_directories

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def remove_runs(
    names: tuple[str, ...],
    older_than: str | None,
    name: str | None,
    *,
    outputs: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Remove the runs that are named, or all that ended so long ago."""
    folders = folders_of(runs_dir)
    if older_than:
        before = time.time() - _age(older_than)
        runs = [registry.load_run(path) for path in run_directories(folders, name or "*")]
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
