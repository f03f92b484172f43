"""Kill exactly the processes that this agent started, whatever they did to hide.

Every process the agent starts inherits a marker in its environment, and orphans come back to the agent because it
is a sub-reaper. So a process is ours if it descends from us or carries the marker. `ray stop` is never used: it
hits every Ray of the user on the node.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

MARKER = "CURATOR_SLURM_SESSION"
"""Environment variable that marks processes of one agent; its value is the agent's session directory."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def started_at() -> float:
    """When this process was started, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def become_subreaper() -> None:
    """Let orphaned descendants become our children, where they can be found and reaped."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signum: int = signal.SIGKILL) -> Callable[[], None]:
    """A preexec function: the child gets `signum` when the agent dies."""
    number = int(signum)

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare


def marked_processes(session: str) -> list[psutil.Process]:
    """All processes of this user that carry the marker of `session`, not counting ourselves."""
    found = []
    uid = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.uids().real != uid:
                continue
            if process.environ().get(MARKER) == session:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def our_processes(session: str, but: int | None = None) -> list[psutil.Process]:
    """Descendants of this process and processes with the marker; without `but` and its descendants."""
    found = {process.pid: process for process in marked_processes(session)}
    for process in psutil.Process().children(recursive=True):
        found.setdefault(process.pid, process)
    if but is not None:
        found.pop(but, None)
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(but).children(recursive=True):
                found.pop(process.pid, None)
    return list(found.values())


def kill_ours(session: str, grace_s: float = 1.0, *, but: int | None = None) -> list[str]:
    """End everything we started but the process `but`, politely first; repeats until nothing is left.

    Returns the names of what was hit.
    """
    names: list[str] = []
    for attempt in range(5):
        left = [process for process in our_processes(session, but) if _is_running(process)]
        if not left:
            break
        if attempt == 0:
            names = sorted({_name(process) for process in left})
        _signal_all(left, signal.SIGTERM if attempt == 0 and grace_s else signal.SIGKILL)
        psutil.wait_procs(left, timeout=grace_s if attempt == 0 else 2.0)
    reap(keep=() if but is None else (but,))
    return names


def reap(keep: Iterable[int] = ()) -> None:
    """Collect adopted children that have ended; `keep` are those whose exit status somebody else waits for.

    Asked ten times a second, so the kernel is asked, and not all of /proc: a large node has thousands of processes.
    """
    kept = set(keep)
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in kept:  # and would hide the others
                _reap_others(kept)
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


def _reap_others(kept: set[int]) -> None:
    for child in psutil.Process().children():
        try:
            if child.pid not in kept and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            continue


def _signal_all(processes: Iterable[psutil.Process], signum: int) -> None:
    for process in processes:
        try:
            process.send_signal(signum)
        except psutil.Error:
            continue


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "?"
