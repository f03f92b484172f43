"""Data-curation pipelines as multi-node Ray clusters inside Slurm allocations.

The package is put together here: the folders common/, launcher/, executors/ and slurm_templates/ of the repository are
linked into this one, so that import names and file names agree for Python, type checkers, editors and the build.
"""

from curator_slurm.launcher._version import __version__

__all__ = ["__version__"]
