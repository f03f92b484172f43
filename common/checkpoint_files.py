"""What is in a folder of checkpoints: files of JSON lines that say which source partitions are finished.

Only complete lines count; what a crash, a full disk or a lost block has left of one is ignored, and its partitions run
again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_slurm.common.finished_work import Part, Work
from curator_slurm.common.plain_files import plain_lines

log = logging.getLogger(__name__)

FOLDER = ".curator_slurm_checkpoint"
"""Folder inside `checkpoint_path` that holds the files."""
_FILE_BYTES = 4 << 30
_LINE_BYTES = 64 << 20
"""A line has what finished during one write, thousands of partitions where the disk stalls."""


@dataclass(frozen=True)
class Finished:
    """What one file says: the names of the pipeline's stages, and the partitions that are finished."""

    path: Path
    stages: list[str] | None
    sources: set[str]
    parts: list[Part] = field(default_factory=list)
    """The same sources as they were recorded, with what was counted of them."""


def log_files(checkpoint_path: Path) -> list[Path]:
    """The files of all runs, by name."""
    return sorted((checkpoint_path / FOLDER).glob("*.jsonl"))


def read_finished(checkpoint_path: Path) -> Iterable[Finished]:
    """What is finished, file by file; a file that cannot be read is logged, and its partitions run again."""
    for path in log_files(checkpoint_path):
        try:
            stages, parts = read_parts(plain_lines(path, _FILE_BYTES, _LINE_BYTES))
        except FileNotFoundError:
            continue  # a run that finished nothing has removed its own
        except OSError as error:
            log.warning("%s cannot be read (%s); the partitions it records will run again", path, error)
            continue
        yield Finished(path, stages, set().union(*(part.sources for part in parts)), parts)


def read_parts(lines: Iterable[bytes]) -> tuple[list[str] | None, list[Part]]:
    """(names of the stages, what is finished) of a file's lines; incomplete ones are ignored."""
    stages: list[str] | None = None
    parts: list[Part] = []
    for line in lines:
        entry = _parse(line)
        if isinstance(entry.get("stages"), list):
            stages = stages or [str(name) for name in entry["stages"]]
        if isinstance(entry.get("finished"), list):
            sources = frozenset(source for source in entry["finished"] if isinstance(source, str))
            parts.append(Part(sources, Work.of_json(entry)))
    return stages, parts


def _parse(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}
