"""Progress of work on the login node: a bar on a terminal, a line now and then anywhere else; always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._terminal import is_terminal, no_colour, say
from curator_slurm.launcher.visible import visible_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_S = 5.0
"""Work that ends sooner prints nothing where there is no terminal."""
LONG_S = 60.0
"""Work that takes longer gets a line only so often."""


class Steps(Protocol):
    """Shows how far one step after the other is."""

    def show(self, step: str, done: int, total: int | None) -> None:
        """So much of this step is done."""

    def close(self) -> None:
        """Leave the terminal as it should be."""


def open_steps() -> Steps:
    """The view that suits stderr."""
    return BarSteps() if is_terminal(err=True) else LineSteps()


def amount(step: str, done: int, total: int | None) -> str:
    """`12/40`, or sizes where a step counts bytes; without a total, how many so far."""
    if total is None:
        return words.count(done)
    if step.endswith("bytes"):
        return f"{format_size(done)} of {format_size(total)}"
    return f"{words.count(done)}/{words.count(total)}"


class LineSteps:
    """A line every few seconds, later every minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._said = clock()

    def show(self, step: str, done: int, total: int | None) -> None:
        now = self._clock()
        if now - self._said >= (QUIET_S if now - self._began < LONG_S else LONG_S):
            self._said = now
            say(f"{step}: {amount(step, done, total)}", err=True)

    def close(self) -> None:
        """Lines need no end."""


class BarSteps:
    """A bar for each step, from the first that takes a moment."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True, no_color=no_colour() or None, highlight=False)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._progress: Progress = Progress(*columns, console=console, transient=True)
        self._bars: dict[str, TaskID] = {}
        self._shown = time.monotonic()

    def show(self, step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._shown < 0.1 and (not self._bars or done != total):
            return
        self._shown = now
        if not self._bars:
            self._progress.start()
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(visible_line(step), total=total, note="")
        self._progress.update(self._bars[step], completed=done, total=total, note=amount(step, done, total))

    def close(self) -> None:
        self._progress.stop()
