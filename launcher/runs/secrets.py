"""Secrets of a run: the values that `environment.secrets` names, taken where the run is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curator_slurm.launcher.errors import SpecError, SpecProblem


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
