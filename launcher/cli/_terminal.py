"""Printing that is fine on any terminal: no colours with NO_COLOR, no crash on characters it cannot show.

The only module that prints. What others wrote (logs, names, specs, messages of Slurm) comes through it, and none of it
may control the terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import click

from curator_slurm.launcher.visible import visible, visible_line

WIDEST = 100
_STATE_COLOURS = {
    "completed": "green",
    "failed": "red",
    "incomplete": "red",
    "cancelled": "yellow",
    "unknown": "yellow",
    "running": "cyan",
    "draining": "cyan",
    "restarting": "cyan",
    "starting": "cyan",
    "pending": "blue",
}


_COLOURED = re.compile(r"(\x1b\[3[0-7]m\x1b\[1m[a-z ]+\x1b\[0m)")
"""A word in one of our colours: whoever else writes one, it is a coloured word and no more."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print, with control characters made visible; characters that the terminal's encoding lacks become `?`."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = shown(text).encode(encoding, errors="replace").decode(encoding, errors="replace")
    click.echo(safe, err=err, nl=nl, color=False if no_colour() else None)


def confirm(question: str) -> None:
    """Ask on stderr; anything but yes ends the command."""
    click.confirm(shown(question), abort=True, err=True)


def ask(question: str) -> str:
    """Ask on stderr for a line, which may be empty."""
    answer: str = click.prompt(shown(question), default="", show_default=False, err=True)
    return answer


def say_exactly(text: str, *, on_terminal: bool = False) -> None:
    """Print text that a program takes, unchanged; on a terminal it is for people, unless they ask for it."""
    if sys.stdout.isatty() and not on_terminal:
        say(text, nl=bool(text) and not text.endswith("\n"))
    else:
        click.echo(os.fsencode(text), nl=False)


def say_json(value: Any) -> None:
    """Print one JSON document on stdout, in ASCII, so that every terminal and every pipe takes it."""
    click.echo(json.dumps(value, indent=1).replace("\x7f", "\\u007f"))


def shown(text: str) -> str:
    """`text` with control characters made visible, but for the colours of states."""
    return "".join(part if number % 2 else visible(part) for number, part in enumerate(_COLOURED.split(text)))


def shown_line(text: str) -> str:
    """The same for one line."""
    return "".join(part if number % 2 else visible_line(part) for number, part in enumerate(_COLOURED.split(text)))


def no_colour() -> bool:
    """Whether the user wants no colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def width() -> int:
    """Columns to use."""
    import shutil

    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def table_width() -> int | None:
    """Columns for a table; None where a program reads it, which wants names whole."""
    return width() if is_terminal() else None


def coloured_state(state: str, text: str | None = None) -> str:
    """A state in its colour; colours vanish where stdout is no terminal."""
    return click.style(text if text is not None else state, fg=_STATE_COLOURS.get(state), bold=True)


def is_terminal(*, err: bool = False) -> bool:
    """Whether a human is watching a terminal that can move its cursor."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"
