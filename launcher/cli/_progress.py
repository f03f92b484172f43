"""Showing a run while it goes on: bars on a terminal, lines that read well in a log file anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._node_lines import node_lines
from curator_slurm.launcher.cli._terminal import is_terminal, no_colour, say
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.reports import StageReport, StoreReport
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.visible import visible, visible_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from curator_slurm.launcher.status.node_glances import NodeGlances

HEARTBEAT_S = 60.0
"""A log file gets a line at least this often, so that silence means trouble."""
PROGRESS_LINE_S = 5.0
"""And progress at most this often."""
_NAME, _BAR = 24, 12
_FIXED = 2 + _NAME + _BAR + 4
"""Columns that are taken before a stage's numbers: spinner, name, bar, and the gaps."""


class View(Protocol):
    """Shows one status after the other."""

    def show(self, status: RunStatus, output: str = "") -> None:
        """Show the newest status; `output` is the last line that a command has printed."""

    def show_nodes(self, look: NodeGlances) -> None:
        """Show what the nodes are at, where there is a screen for it."""

    def close(self) -> None:
        """Leave the terminal as it should be."""


def open_view(*, err: bool = False) -> View:
    """The view that suits stdout (or stderr)."""
    return BarView(err=err) if is_terminal(err=err) else LineView(lambda line: say(line, err=err))


class LineView:
    """A line whenever something has changed, and a heartbeat line when nothing has for a minute."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._said = ""
        self._state: RunState | None = None
        self._when = float("-inf")

    def show(self, status: RunStatus, output: str = "") -> None:
        text = " | ".join(filter(None, [progress_text(status), visible_line(output.expandtabs(1))]))
        now = self._clock()
        silent = now - self._when
        if status.state is self._state:
            changed = text != self._said and (silent >= PROGRESS_LINE_S or not (status.stages or output))
            if not changed and silent < HEARTBEAT_S:
                return
        self._said, self._state, self._when = text, status.state, now
        stamp = time.strftime("%H:%M:%S", time.localtime(now))
        self._write(f"{stamp} {status.state:<9} {text}".rstrip())

    def show_nodes(self, look: NodeGlances) -> None:
        """Lines say what stages do."""

    def close(self) -> None:
        """Lines need no end."""


def progress_text(status: RunStatus) -> str:
    """One line on how far the run is."""
    stages = " | ".join(words.stage_progress(stage) for stage in status.stages)
    if status.state is RunState.RUNNING and stages:
        spilled = status.object_store.spilled_bytes if status.object_store else None
        return stages + (f" | {words.size(spilled)} spilled" if spilled else "")
    return " ".join(status.message.split())


class BarView:
    """A bar for each stage, under a line with the state; below, what the nodes are at."""

    def __init__(self, *, err: bool = False) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column
        from rich.text import Text

        console = Console(stderr=err, no_color=no_colour() or None, highlight=False)
        name = TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=_NAME, overflow="ellipsis"))
        self._room = max(0, console.width - _FIXED)
        self._progress: Progress = Progress(
            SpinnerColumn(),
            name,
            BarColumn(bar_width=_BAR),
            TextColumn("{task.fields[share]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=console,
        )
        self._bars: dict[int, TaskID] = {}
        self._store_bar: TaskID | None = None
        self._state_bar = self._progress.add_task("starting", total=None, share="", note="")
        self._said = ""
        self._console = console
        self._nodes = Text("", no_wrap=True, overflow="ellipsis", end="")
        self._live = Live(Group(self._progress, self._nodes), console=console, refresh_per_second=10)
        self._live.start()

    def show(self, status: RunStatus, output: str = "") -> None:
        for number, stage in enumerate(status.stages):
            self._show_stage(number, stage)
        self._show_store(status)
        text = " ".join(status.message.split())
        self._progress.update(
            self._state_bar,
            description=status.state.value,
            visible=not status.stages,
            note=_escaped(words.shorten(visible_line(output.expandtabs(1)), max(self._room, 1))),
        )
        if text and text != self._said and not status.state.is_final:
            self._console.print(visible(text), markup=False)
        self._said = text

    def _show_stage(self, number: int, stage: StageReport) -> None:
        if number not in self._bars:
            self._bars[number] = self._progress.add_task(_plain(stage), total=None, share="", note="")
        expected = stage.expected or stage.expected_about
        self._progress.update(
            self._bars[number],
            completed=stage.tasks_in or 0,
            total=expected,
            share=words.stage_share(stage),
            note=words.fitting_notes(stage, self._room - len(words.stage_share(stage))),
        )

    def _show_store(self, status: RunStatus) -> None:
        store = status.object_store
        if self._store_bar is None and words.object_store(store):
            self._store_bar = self._progress.add_task("object store", total=None, share="", note="")
        if self._store_bar is not None and store is not None:
            self._progress.update(
                self._store_bar,
                completed=_share_in_percent(store),
                total=100,
                share=f"{_share_in_percent(store)}%",
                note=f"{words.size(store.used_bytes)}, {words.size(store.spilled_bytes)} spilled",
            )

    def show_nodes(self, look: NodeGlances) -> None:
        """A line for each of a few nodes, and what happened last."""
        limit = max(self._console.width - 1, 1)
        blocks = self._console.encoding.lower().startswith("utf")
        lines = node_lines(look.look(), limit, look.omitted, blocks=blocks)
        event = words.shorten(visible_line(look.last_event), limit)
        self._nodes.plain = "\n".join([*lines, *([event] if lines and event else [])])

    def close(self) -> None:
        """The bars stay as they are; what the nodes were at does not."""
        self._nodes.plain = ""
        self._live.stop()


def _share_in_percent(store: StoreReport) -> int:
    used, capacity = store.used_bytes or 0, store.capacity_bytes or 0
    return round(100 * used / capacity) if capacity else 0


def _plain(stage: StageReport) -> str:
    """The name of a stage."""
    return _escaped(visible_line(stage.name))


def _escaped(text: str) -> str:
    """rich would read [brackets] as markup."""
    from rich.markup import escape

    return escape(text)
