"""What `curator-slurm list` prints."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._terminal import coloured_state, say, say_json, table_width
from curator_slurm.launcher.runs.owners import user_name
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer
from curator_slurm.launcher.status.early import NO_ANSWER_YET, with_patience
from curator_slurm.launcher.status.run_list import list_runs
from curator_slurm.launcher.status.views import RunRow, to_json

GIVE_WAY = ("JOB", "RESTARTS", "TIME", "SHARDS", "OWNER", "RUN")
"""Columns that are left out on a narrow terminal, the first ones first; a name stands for its latest run."""


def print_runs(name: str | None, state: str | None, limit: int, as_json: bool, runs_dir: Path | None) -> None:
    """The newest runs of a name and in a state, as a table or as JSON."""
    folders = folders_of(runs_dir)

    def look(answer: SlurmAnswer | None = None) -> tuple[list[RunRow], int]:
        others = runs_dir is not None
        return list_runs(folders, name=name, state=state, limit=limit, of_others=others, answer=answer)

    rows, total = look() if as_json else with_patience(look, lambda: _show_files(look(NO_ANSWER_YET)[0]))
    if as_json:
        say_json(to_json(rows))
        return
    if not rows:
        say(_none(name or state, runs_dir), err=True)
        return
    for line in _table(rows, table_width(), time.time()):
        say(line)
    if total > len(rows):
        say(f"{len(rows)} of {total} runs; --limit 0 shows all.", err=True)


def _none(chosen: str | None, runs_dir: Path | None) -> str:
    if runs_dir is not None:
        return f"No {'such ' if chosen else ''}runs in {runs_dir}, as far as you may read it."
    return "No runs." if chosen else "No runs yet; `curator-slurm submit SPEC` starts one."


def _show_files(rows: list[RunRow]) -> None:
    """What is known without Slurm, at once; its word follows."""
    for line in _table(rows, table_width(), time.time()) if rows else ():
        say(line)
    say("\nSlurm has not answered yet; waiting for it, for half a minute at most ...\n")
    sys.stdout.flush()


def _table(rows: list[RunRow], limit: int | None, now: float) -> list[str]:
    """One line for each run; where there is little room, fewer columns, and last a shorter name."""
    me = user_name(os.geteuid())
    columns = {
        "NAME": [row.name for row in rows],
        "RUN": [row.run_id for row in rows],
        "STATE": [str(row.state) for row in rows],
        "OWNER": [row.owner or "-" for row in rows] if any(row.owner != me for row in rows) else [],
        "SHARDS": [_shards(row) for row in rows] if any(row.array for row in rows) else [],
        "RESTARTS": [words.count(row.restarts) for row in rows] if any(row.restarts for row in rows) else [],
        "JOB": [_job(row) for row in rows],
        "TIME": [_time(row, now) for row in rows],
        "DATE": [words.day(row.created, now) for row in rows],
    }
    columns = {header: cells for header, cells in columns.items() if cells}
    if limit is not None:
        for header in GIVE_WAY:
            if words.narrowest_width(columns) <= limit:
                break
            columns.pop(header, None)
    cells = [list(line) for line in zip(*columns.values(), strict=True)]
    lines = words.table(list(columns), cells, limit, left=len(columns))
    coloured = [
        line.replace(f"  {row.state}", f"  {coloured_state(row.state)}", 1)
        for row, line in zip(rows, lines[1:], strict=True)
    ]
    return [lines[0], *coloured]


def _shards(row: RunRow) -> str:
    return f"{row.shards_done}/{row.shards}" if row.array else "-"


def _job(row: RunRow) -> str:
    return "local" if row.cluster == "local" else row.job_id or "-"


def _time(row: RunRow, now: float) -> str:
    started, ended = row.started, row.ended
    if started is None:
        return "-"
    if row.state.is_final and ended is None:
        return "-"
    return words.duration((ended or now) - started)
