"""Data-curation pipelines as multi-node Ray clusters inside Slurm allocations.

    from curator_slurm import submit

    job = submit("spec.yaml", overrides={"resources.nodes": 4})
    job.result().outputs

The package is put together here: the folders common/, launcher/, executors/ and slurm_templates/ of the repository are
linked into this one, so that import names and file names agree for Python, type checkers, editors and the build. The
Python API is loaded when it is first used: every Ray worker imports this module.
"""

from typing import TYPE_CHECKING, Any

from curator_slurm.launcher._version import __version__

if TYPE_CHECKING:
    from curator_slurm.common.staged_paths import staged_path
    from curator_slurm.launcher.api import Job, PartialSubmissionError, job, submit

__all__ = ["Job", "PartialSubmissionError", "__version__", "job", "staged_path", "submit"]

_API = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> Any:
    if name == "staged_path":
        from curator_slurm.common.staged_paths import staged_path

        return staged_path
    if name in _API:
        from curator_slurm.launcher import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
