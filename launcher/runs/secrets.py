"""Secrets of a run: taken where it is submitted, gone when it is over.

They are the values that `environment.secrets` names, and the tokens of the run's Ray clusters. However a run ends,
whoever finds it over removes them, and here is how: agents at their end, commands that see its state, and `submit` and
`retry` for other runs of the folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence

from curator_slurm.launcher.errors import RunBusyError, SpecError, SpecProblem, StorageError
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, RunLock
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths

REMOVING = "remove secrets"
"""What the lock of submissions is held for, so briefly that it means no submission to others."""


def collect_secrets(names: Sequence[str], environ: Mapping[str, str], source: str) -> dict[str, str]:
    """The values of the secrets in the submitter's environment; all that are missing are reported at once."""
    missing = [name for name in names if name not in environ]
    if missing:
        problems = [
            SpecProblem("environment.secrets", f"{name} is in environment.secrets, but is not set; export it first")
            for name in missing
        ]
        raise SpecError(problems, source)
    return {name: environ[name] for name in names}


def write_secrets(run: RunPaths, values: Mapping[str, str]) -> None:
    """The secret environment of a run's jobs, readable by the owner alone."""
    run.secrets.mkdir(mode=0o700, exist_ok=True)
    if values:
        write_json(run.secret_environment, dict(values), mode=0o600)


def remove_secrets(run: RunPaths) -> None:
    """Remove what is secret of a run of ours that is over."""
    if is_own(run.root):
        shutil.rmtree(run.secrets, ignore_errors=True)


def remove_secrets_if(run: RunPaths, is_over: Callable[[], bool]) -> None:
    """The same if it is over, which is asked for while nobody can submit it again: a retry has secrets of its own.

    Where somebody is submitting, or the directory cannot be written, they stay for whoever looks next.
    """
    if not run.secrets.is_dir() or not is_own(run.root):
        return
    try:
        with RunLock(run.lock(SUBMISSIONS_LOCK), REMOVING, patience_s=0.0):
            if is_over():
                remove_secrets(run)
    except (OSError, RunBusyError, StorageError):
        return
