"""A flag for signal handlers stands a signal at any line of its own, which an event of `threading` does not."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from curator_slurm.launcher.waiting import SignalFlag

PROGRAM = """
import signal, sys, threading
from curator_slurm.launcher.waiting import SignalFlag

flag = {flag}
depth = 0

def on_signal(number, frame):
    flag.set()

def on_line(frame, event, argument):
    global depth
    if frame.f_code.co_filename.endswith(("waiting.py", "threading.py")) and depth < 3:
        depth += 1
        signal.raise_signal(signal.SIGTERM)
        depth -= 1
    return on_line

signal.signal(signal.SIGTERM, on_signal)
sys.settrace(on_line)
seen = flag.wait(600)
sys.settrace(None)
print(seen, flag.is_set())
"""


def test_a_signal_at_every_line_of_it() -> None:
    program = PROGRAM.format(flag="SignalFlag()")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_what_it_is_there_for() -> None:
    """Should an event of `threading` stand this one day, the flag can go."""
    program = "import faulthandler\nfaulthandler.dump_traceback_later(3, exit=True)\n" + PROGRAM
    command = [sys.executable, "-c", program.format(flag="threading.Event()")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, ""), "an event can be set in a signal handler"


def test_it_stays_set_for_everybody() -> None:
    flag = SignalFlag()
    assert not flag.wait(0)
    seen: list[bool] = []
    waiting = [threading.Thread(target=lambda: seen.append(flag.wait(60))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    flag.set()
    for thread in waiting:
        thread.join()
    assert (seen, flag.is_set(), flag.wait(60)) == ([True] * 3, True, True)


def test_set_very_often() -> None:
    """A pipe holds 64 KiB."""
    flag = SignalFlag()
    for _ in range(70_000):
        flag.set()
    assert flag.wait(0)


@pytest.mark.parametrize("seconds", [0.05, 0, -1.0])
def test_waiting_ends_by_itself(seconds: float) -> None:
    assert not SignalFlag().wait(seconds)
