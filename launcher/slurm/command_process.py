"""One command of Slurm as a process: run to its end, or killed with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

_KILLED_WITHIN_S = 1.0
"""A process that waits for a dead file system cannot be killed; it is left behind."""


def run_to_its_end(
    arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    It has a process group of its own: a site's wrapper that is killed alone would leave the real command running.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time, and was killed.
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment,
        process_group=0,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED_WITHIN_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)
