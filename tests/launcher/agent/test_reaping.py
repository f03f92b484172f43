"""Children that an agent has adopted, in a process that has no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROLOGUE = """
import os, subprocess, time
import psutil
from curator_slurm.launcher.agent.processes import reap

def ended(code):
    child = subprocess.Popen(["sh", "-c", f"exit {code}"])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    return child
"""


@pytest.mark.parametrize("first", ["kept", "others"])
def test_what_somebody_waits_for_is_left_and_hides_nothing(first: str) -> None:
    run(f"""
others = [ended(1), ended(2)] if {first == "others"} else []
kept = ended(3)
others += [ended(4), ended(5)]
reap(keep=(kept.pid,))
assert not any(psutil.pid_exists(other.pid) for other in others)
assert kept.wait() == 3
""")


def test_nothing_is_asked_of_proc_while_nothing_has_ended() -> None:
    run("""
psutil.Process, process = None, psutil.Process
reap()  # no child at all
living = subprocess.Popen(["sleep", "600"])
reap()
reap(keep=(living.pid,))
living.kill()
assert living.wait() == -9
""")


def run(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROLOGUE + text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
