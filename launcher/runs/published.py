"""What curator-slurm has published, told by the records in it: a dataset of `collect`, or the outputs of one shard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from curator_slurm.launcher.files import LIST_BYTES, read_json, read_jsonl
from curator_slurm.launcher.runs.shard_records import MARKER

SUMMARY = "_dataset.json"
FILES = "_files.jsonl"
FAILURES = "_failures.jsonl"
_RECORDS = (SUMMARY, FILES, FAILURES, MARKER)
_LIST_BYTES = 16 << 30
_REMOVED_WHILE_OPEN = ".nfs"
"""How the names begin that NFS gives to files that are removed while somebody reads them."""


def read_summary(target: Path) -> dict[str, Any] | None:
    """The summary of a dataset; None where there is none that can be read."""
    return _read(target / SUMMARY)


def owner(folder: Path) -> str | None:
    """The run that has published what is in `folder`; None where nothing says so."""
    for record in (read_summary(folder), _read(folder / MARKER)):
        run_id = record.get("run_id") if record else None
        if isinstance(run_id, str) and run_id:
            return run_id
    return None


def why_kept(folder: Path) -> str:
    """Why a folder must not give way to a new dataset; empty where all that is in it was published by one run.

    Raises:
        OSError: it cannot be read.
    """
    if folder.is_symlink():
        return "is a link; name the folder that it leads to"
    if folder.is_mount():
        return "is a mount point, which cannot be renamed"
    if owner(folder) is None:
        return f"was not published by curator-slurm (it has neither {SUMMARY} nor {MARKER})"
    listed = _listed(folder)
    for path in _files(folder):
        if path not in listed and os.path.basename(path) not in _RECORDS:  # noqa: PTH119 (of many names)
            return f"has {path}, which the run that published the rest has not written"
    return ""


def _listed(folder: Path) -> set[str]:
    """The files that the records name, below the folder."""
    files = (_read(folder / MARKER) or {}).get("files")
    items = chain(files if isinstance(files, list) else (), read_jsonl(folder / FILES, _LIST_BYTES))
    return {str(item["path"]) for item in items if isinstance(item, dict) and "path" in item}


def _files(folder: Path) -> Iterator[str]:
    """All names below a folder that are no folders, relative to it."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                path = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif not entry.name.startswith(_REMOVED_WHILE_OPEN):
                    yield path


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = read_json(path, LIST_BYTES)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
