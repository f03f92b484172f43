"""Waiting for a condition, the only kind of waiting in this package."""

import time
from collections.abc import Callable

from slurm_cluster.errors import ClusterError


def wait_for(what: str, test: Callable[[], object], seconds: float = 60, hint: str = "") -> None:
    """Return soon after `test()` is true; `hint` tells the reader of a timeout where to look.

    Looks ever more seldom: many a test starts a process that asks Slurm, and takes its time from what is waited for.
    """
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not test():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:g} s in vain for {what}" + (f"; {hint}" if hint else ""))
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
