"""A process of this machine, told from a later one with the same number: whether it lives, how it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

JOB_ID_VARIABLE = "CURATOR_SLURM_JOB_ID"
"""In the environment of everything that a job of this machine has started."""
_LOOKS, _LOOK_S = 20, 0.02
_LAST_PID = 1 << 22
"""Linux has no larger one."""
CLOCK_TOLERANCE_S = 2.0
"""The creation time of a process moves a little when the clock is set."""


def is_process_alive(pid: int, created: float | None) -> bool:
    """Whether this very process lives: the creation time tells it from a later one with the same number."""
    return _process(pid, created) is not None


def stop_job(pid: int, created: float | None, job_id: str, signum: signal.Signals) -> bool:
    """Signal the process group that this process of a job leads; SIGKILL also to all its descendants.

    False where the process lives, but was not started by us for this job: then nothing is signalled.
    """
    process = _process(pid, created)
    if process is None:
        return True
    import psutil

    try:
        same = process.uids().real == os.geteuid() and _job_of(process) == job_id
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    if created is None or not same:
        return _process(pid, created) is None

    descendants = []
    if signum is signal.SIGKILL:
        with contextlib.suppress(psutil.Error):
            descendants = process.children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signum)
    for descendant in descendants:
        with contextlib.suppress(psutil.Error):
            descendant.send_signal(signum)
    return True


def _job_of(process: psutil.Process) -> str | None:
    """The job that has started a process; one that is just replaced by another program has no environment to read."""
    for _ in range(_LOOKS):
        if environment := process.environ():
            return environment.get(JOB_ID_VARIABLE)
        time.sleep(_LOOK_S)
    return None


def wait_for_end(pid: int, created: float | None, timeout_s: float) -> bool:
    """Wait until the process has ended; False when it lives on after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while is_process_alive(pid, created):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def reap(pid: int, created: float | None) -> None:
    """Let this very process go where it is a child of ours that ends; else it stays a zombie as long as we live.

    Only a process that lives on after starting runs needs this, such as a notebook. A run is over a moment before its
    process: a thread waits for that.
    """
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
        process = psutil.Process(pid)
        if created is not None and abs(process.create_time() - created) < CLOCK_TOLERANCE_S:
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if not ended:
                threading.Thread(target=_wait_for_child, args=(pid,), daemon=True).start()


def _wait_for_child(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _process(pid: int, created: float | None) -> psutil.Process | None:
    """The process, unless it has ended, is a zombie, or is another one with the same number."""
    import psutil

    if not 0 < pid <= _LAST_PID:  # as in a damaged record
        return None
    try:
        process = psutil.Process(pid)
        same = created is None or abs(process.create_time() - created) < CLOCK_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
