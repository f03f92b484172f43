"""Why files cannot be merged; apart from the code that needs Arrow to find out."""

from __future__ import annotations

from curator_slurm.launcher.errors import StorageError


class CannotMergeError(StorageError):
    """These files cannot be merged; they can be published as they are."""
