"""Standard output and error on storage that may be full: what cannot be written is lost, and ends nothing."""

from __future__ import annotations

import os
import sys


def drop_unwritable() -> None:
    """Let what stdout and stderr cannot write be dropped.

    Python flushes them once more when it exits, and turns a failure of that into exit code 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
