"""The process of a run without Slurm: its environment, whether it lives, how it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.launcher.curator_arrays import CURATOR_ARRAYS
from curator_slurm.launcher.slurm import KEPT_VARIABLES

if TYPE_CHECKING:
    import psutil

CLOCK_TOLERANCE_S = 2.0
"""The creation time of a process moves a little when the clock is set."""

_DROPPED_PREFIXES = (
    *("SLURM_", "SBATCH_", "SRUN_", "PMI_", "PMIX_", "RAY_", "CURATOR_SLURM_", "SUBMITIT_", "CONDA_"),
    CURATOR_ARRAYS,
)
_DROPPED = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "BASH_ENV", "ENV", "CDPATH"})


def local_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a local run inherits: not the surrounding Slurm job or array, Ray cluster or Python environment.

    The plan names the Python; the rest (PATH, HOME, proxies, CUDA's variables...) belongs to the machine.
    """
    return {
        name: value
        for name, value in environ.items()
        if name not in _DROPPED and name not in KEPT_VARIABLES and not name.startswith(_DROPPED_PREFIXES)
    }


def start_detached(command: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
    """Start a process in a session of its own, which outlives us and our terminal; its process id.

    Nothing waits for it: not `subprocess`, whose objects complain when they are dropped before the end.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        command[0],
        list(command),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ],
    )


def is_process_alive(pid: int, created: float | None) -> bool:
    """Whether this very process lives: the creation time tells it from a later one with the same number."""
    return _process(pid, created) is not None


def stop_process(pid: int, created: float | None, signum: signal.Signals) -> None:
    """Send a signal to the process group that this process leads; SIGKILL also to all its descendants."""
    process = _process(pid, created)
    if process is None:
        return
    import psutil

    descendants = []
    if signum is signal.SIGKILL:
        with contextlib.suppress(psutil.Error):
            descendants = process.children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signum)
    for descendant in descendants:
        with contextlib.suppress(psutil.Error):
            descendant.send_signal(signum)


def wait_for_end(pid: int, created: float | None, timeout_s: float) -> bool:
    """Wait until the process has ended; False when it lives on after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while is_process_alive(pid, created):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _process(pid: int, created: float | None) -> psutil.Process | None:
    """The process, unless it has ended, is a zombie, or is another one with the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        same = created is None or abs(process.create_time() - created) < CLOCK_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
