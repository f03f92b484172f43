"""Processes of this machine."""

from __future__ import annotations

import subprocess
import time

import psutil
import pytest

from curator_slurm.launcher.local_process import reap


@pytest.mark.parametrize("ends_before", [True, False])
def test_a_child_that_ends_is_no_zombie_whenever_that_is(ends_before: bool) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        process = psutil.Process(child.pid)
        if ends_before:
            child.stdin.close()
            wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
        reap(child.pid, process.create_time() + 100)
        assert psutil.pid_exists(child.pid), "another process of this number has been let go"
        reap(child.pid, process.create_time())
        child.stdin.close()
        wait_until(lambda: not psutil.pid_exists(child.pid))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
