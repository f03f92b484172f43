"""Starting the process of a run without Slurm: its environment, and a session of its own."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from curator_slurm.launcher.slurm.client import KEPT_VARIABLES
from curator_slurm.launcher.spec.curator_arrays import CURATOR_ARRAYS

_DROPPED_PREFIXES = (
    *("SLURM_", "SBATCH_", "SRUN_", "PMI_", "PMIX_", "RAY_", "CURATOR_SLURM_", "SUBMITIT_", "CONDA_"),
    CURATOR_ARRAYS,
)
_DROPPED = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "BASH_ENV", "ENV", "CDPATH"})


def local_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a local run: without the surrounding Slurm job or array, Ray cluster or Python environment.

    The plan names the Python; everything else (PATH, HOME, proxies, CUDA's variables...) is inherited.
    """
    return {
        name: value
        for name, value in environ.items()
        if name not in _DROPPED and name not in KEPT_VARIABLES and not name.startswith(_DROPPED_PREFIXES)
    }


def new_local_job_id() -> str:
    """An id for a job without Slurm; ids sort by time."""
    return f"local-{int(time.time())}-{secrets.randbelow(10**6):06d}"


def start_detached(command: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
    """Start a process in its own session, which outlives this process and its terminal; returns its pid.

    Not with `subprocess`, whose objects warn when they are dropped before the process has ended.
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
