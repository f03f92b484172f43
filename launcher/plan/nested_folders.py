"""Folders that a run writes to inside of those that it reads: what it writes would be the input of a later run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from curator_slurm.common.addresses import is_address, is_remote
from curator_slurm.launcher.inputs.address import local_path
from curator_slurm.launcher.spec.model import Spec

_WRITTEN = {
    "output.path": "what is published there is input of the next run of this spec",
    "storage.runs": "the files of runs are input of the next run of this spec",
}


def notes(spec: Spec) -> Iterator[tuple[str, str]]:
    """(dotted key, message) of each folder that is written to and lies in a folder of `input.paths`, or is one."""
    read = [Path(local_path(each)) for each in (spec.input.paths if spec.input else ()) if not is_remote(each)]
    for key, written in (("output.path", spec.output.path), ("storage.runs", spec.storage.runs)):
        if written is None or is_address(written):
            continue
        inside = next((folder for folder in read if _is_read_with(folder, Path(written))), None)
        if inside is not None:
            yield key, f"`{key}` {written} lies in the input folder {inside}: {_WRITTEN[key]}; give a folder outside"


def _is_read_with(folder: Path, written: Path) -> bool:
    """Whether a reader of the folder finds what is written there; it passes over names that begin with `.` or `_`."""
    if not written.is_relative_to(folder):
        return False
    if any(part.startswith((".", "_")) for part in written.relative_to(folder).parts):
        return False
    try:
        return folder.is_dir()
    except OSError:
        return False  # told by the check of `input.paths`
