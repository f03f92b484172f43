"""Staying to submit the rest of a run (`--feed`), until nothing is left or Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._notifying import onlooker_of
from curator_slurm.launcher.cli._terminal import say
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.operations.collect_job import collects_itself
from curator_slurm.launcher.operations.feed import Fed, feed, unsubmitted
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.status.gather import Level, observe
from curator_slurm.launcher.waiting import SignalFlag


def feed_to_end(run: Run) -> None:
    """Submit what is left of a run as there is room, and say so; nothing where all of it is submitted.

    Before each wait, people are told of a run that has waited for long, where it asks for that (`notify`).

    Raises:
        KeyboardInterrupt: by Ctrl-C, after a submission that was under way, and with what is left said.
        CuratorSlurmError: a submission is refused; what is left is said, too.
    """
    if run.record is None or not run.record.array or not unsubmitted(run):
        return
    last = Fed(0, unsubmitted(run))
    say(f"{_shards(last.left)} wait for room in the queue; Ctrl-C stops submitting, not the run", err=True)
    said = ""

    def tell(fed: Fed) -> None:
        nonlocal last, said
        last = fed
        line = f"Submitted {_shards(fed.submitted)}, {words.count(fed.left)} left" if fed.submitted else fed.why
        if line and line != said:
            say(line, err=True)
        said = line

    onlooker = onlooker_of(run, "feed")

    def stops(seconds: float) -> bool:
        if onlooker.is_asked:
            onlooker.see(observe(run, level=Level.STATE)[1])
        return stopped.wait(seconds)

    with _interrupts() as stopped:
        try:
            fed = feed(run, os.environ, tell, stops)
        except CuratorSlurmError:
            say(_what_remains(run), err=True)
            raise
    if stopped.is_set():
        say(f"\nStopped submitting. {_what_remains(run)}", err=True)
        raise KeyboardInterrupt
    if fed.left:
        say(_what_remains(run), err=True)


def all_job_ids(run: Run) -> list[str]:
    """Jobs of all submissions of a run, those that were added meanwhile included."""
    record = load_run(run.paths.root).record
    return list(record.job_ids) if record is not None else []


@contextmanager
def _interrupts() -> Iterator[SignalFlag]:
    """A flag that Ctrl-C sets, so that a submission comes to its end; a second Ctrl-C interrupts at once."""
    stopped = SignalFlag()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _what_remains(run: Run) -> str:
    """How many shards are not submitted, and who goes on with them."""
    left, name = unsubmitted(run), reference(run, os.environ)
    if not left:
        return "All shards are submitted."
    by_itself = ", and so does the job that collects" if collects_itself(read_plan(run)) else ""
    return (
        f"{_shards(left)} {'is' if left == 1 else 'are'} not submitted: `curator-slurm retry {name}` submits what has "
        f"room{by_itself}; with --feed it stays to submit the rest."
    )


def _shards(count: int) -> str:
    return words.several(count, "shard")
