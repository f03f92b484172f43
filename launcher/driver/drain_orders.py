"""What the head's agent says on the driver's standard input: `go <address>` at first, and `drain <until> <reason>`."""

from __future__ import annotations

import contextlib
import os
import threading

from curator_slurm.executors.run import drain


class Orders:
    """Takes the standard input over: what the pipeline reads there has come to its end."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(0), encoding="utf-8", errors="replace")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def wait_for_go(self) -> str:
        """The address of the cluster, when it is up.

        Raises:
            SystemExit: the agent is gone.
        """
        line = self._stream.readline().split()
        if len(line) != 2 or line[0] != "go":
            raise SystemExit("the head agent ended before the cluster was up")
        return line[1]

    def follow(self) -> None:
        """Hand what comes from now on to the executor, from a thread."""
        threading.Thread(target=self._follow, name="orders", daemon=True).start()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._stream:
                order, until, reason = (*line.strip().split(" ", 2), "", "")[:3]
                if order == "drain":
                    drain.request(reason, float(until))
