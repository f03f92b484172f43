"""Printing that is fine on any terminal: no colours with NO_COLOR, no crash on characters it cannot show."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

import click

WIDEST = 100
_STATE_COLOURS = {
    "completed": "green",
    "failed": "red",
    "incomplete": "red",
    "cancelled": "yellow",
    "unknown": "yellow",
    "running": "cyan",
    "starting": "cyan",
    "pending": "blue",
}


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print; characters that the terminal's encoding lacks become `?`."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = text.encode(encoding, errors="replace").decode(encoding, errors="replace")
    click.echo(safe, err=err, nl=nl, color=False if no_colour() else None)


def say_json(value: Any) -> None:
    """Print one JSON document on stdout, in ASCII, so that every terminal and every pipe takes it."""
    click.echo(json.dumps(value, indent=1))


def no_colour() -> bool:
    """Whether the user wants no colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def width() -> int:
    """Columns to use."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def coloured_state(state: str, text: str | None = None) -> str:
    """A state in its colour; colours vanish where stdout is no terminal."""
    return click.style(text if text is not None else state, fg=_STATE_COLOURS.get(state), bold=True)


def is_terminal(*, err: bool = False) -> bool:
    """Whether a human is watching a terminal that can move its cursor."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"
