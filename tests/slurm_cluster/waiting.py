"""Waiting for a condition, the only kind of waiting in this package."""

import time
from collections.abc import Callable

from slurm_cluster.errors import ClusterError


def wait_for(what: str, test: Callable[[], object], seconds: float = 60, hint: str = "") -> None:
    """Return as soon as `test()` is true; `hint` tells the reader of a timeout where to look."""
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:g} s in vain for {what}" + (f"; {hint}" if hint else ""))
        time.sleep(0.1)
