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


def test_a_start_of_ray_that_fails_leaves_the_driver_that_waits_for_the_next() -> None:
    run("""
from pathlib import Path
from types import SimpleNamespace
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.processes import MARKER

marked = {**os.environ, MARKER: "/tmp/cs-session"}
apart = {"env": marked, "start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
driver = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], **apart)
while not psutil.Process(driver.pid).children():
    time.sleep(0.01)
(child,) = psutil.Process(driver.pid).children()
left = subprocess.Popen(["sleep", "600"], **apart)
context = SimpleNamespace(stop=SimpleNamespace(wait=lambda _: None))
node = Node(context)
node.session_dir, node.starts, node.waiting = Path("/tmp/cs-session"), 1, driver.pid
node.ray = SimpleNamespace(exit_code=lambda: 1, last_lines=lambda: ["it was too slow"])
node.start_ray = lambda *_: None
assert node.check_ray()
assert not psutil.pid_exists(left.pid)
assert driver.poll() is None and child.is_running()
node._kill_leftovers()
assert driver.wait(60) is not None
assert psutil.wait_procs([child], 60)[0], "whoever adopted it has to wait for it first"
""")


def run(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROLOGUE + text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
