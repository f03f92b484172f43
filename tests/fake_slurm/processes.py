"""Find a job's processes by what they inherit: a variable in their environment."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from fake_slurm.store import Element

FOLDER, ELEMENT = "FAKE_SLURM_STATE", "FAKE_SLURM_ELEMENT"


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue


def of_folder(folder: Path) -> list[int]:
    """All processes that a fake cluster has started: runners, scripts and their children."""
    mark = os.fsencode(f"{FOLDER}={folder}")
    return [pid for pid, environment in _environments() if mark in environment and pid != os.getpid()]


def of_element(folder: Path, element: Element, *, steps_only: bool = False) -> list[int]:
    """Processes of one job or array element."""
    marks = {os.fsencode(f"{FOLDER}={folder}"), os.fsencode(f"{ELEMENT}={element.shown_id}")}
    return [
        pid
        for pid, environment in _environments()
        if marks <= set(environment) and (not steps_only or any(e.startswith(b"SLURM_STEP_ID=") for e in environment))
    ]


def signal_element(folder: Path, element: Element, number: signal.Signals, *, steps_only: bool = False) -> None:
    """Signal them; some may be gone already."""
    for pid in of_element(folder, element, steps_only=steps_only):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_everything(folder: Path) -> None:
    """Kill what a fake cluster has started; a runner first, so that nothing new begins."""
    while pids := of_folder(folder):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
