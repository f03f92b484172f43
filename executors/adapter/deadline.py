"""A time limit for a block of Python code."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class TaskTimeoutError(TimeoutError):
    """A task took longer than `task_timeout_s`."""


TEARDOWN_S = 30.0
"""How long `teardown` of a stage may take at the end of a run: all its tasks are done."""
_GRACE_S = 2.0


@contextlib.contextmanager
def deadline(seconds: float | None, what: str, *, kill: bool = False) -> Iterator[None]:
    """Raise TaskTimeoutError inside the block after `seconds`; None means no limit.

    Code that sits in a C extension is interrupted when it returns to Python; in the main thread, blocking system
    calls are interrupted at once. With `kill`, a process that still has not reacted after as long again is killed,
    for back ends that run the tasks of dead workers again.
    """
    if seconds is None:
        yield
        return
    alarm = _alarm if threading.current_thread() is threading.main_thread() else _thread_alarm
    with contextlib.ExitStack() as stack:
        if kill:
            stack.enter_context(_last_resort(seconds + max(seconds, _GRACE_S)))
        stack.enter_context(alarm(seconds, what))
        yield


@contextlib.contextmanager
def _last_resort(seconds: float) -> Iterator[None]:
    """Kill this process after so many seconds, and a second later also if the code holds the interpreter's lock.

    That second watch runs outside of Python, and prints where the code hangs.
    """
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    with contextlib.suppress(ValueError, OSError, AttributeError):  # no standard error output with a descriptor
        faulthandler.dump_traceback_later(seconds + 1, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()


@contextlib.contextmanager
def _alarm(seconds: float, what: str) -> Iterator[None]:
    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        raise TaskTimeoutError(f"{what}: exceeded the limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _thread_alarm(seconds: float, what: str) -> Iterator[None]:
    thread = threading.get_ident()
    lock = threading.Lock()
    fired = over = False

    def interrupt() -> None:
        nonlocal fired
        with lock:
            if not over:
                fired = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TaskTimeoutError))

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TaskTimeoutError:
        if not fired:
            raise
        raise TaskTimeoutError(f"{what}: exceeded the limit of {seconds:g} s") from None
    finally:
        with lock:
            over = True
        timer.cancel()
