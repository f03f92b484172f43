"""What must be the same for an attempt to go on with what another one has finished. Computed from values and code."""

from __future__ import annotations

import contextlib
import json
from hashlib import sha256
from pathlib import Path

from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.user_code import PIPELINE_FILE, read_code

_HOW_IT_RUNS = frozenset(
    {"resources", "batch_size", "num_workers", "num_workers_per_node", "xenna_stage_spec", "ray_stage_spec"}
)
"""Settings of a stage that change nothing about its outputs."""


def identity_of(plan: Plan, code: Path | None, shard: Shard) -> str:
    """A digest of the pipeline, the user's code and the shard's input; empty where nothing can be taken over.

    `code` is the folder with the copies of the user's modules. A command does not say what is finished; a pipeline
    with a `checkpoint_path` of its own keeps its outputs elsewhere.
    """
    pipeline = plan.spec.pipeline
    if pipeline.command is not None or pipeline.checkpoint_path is not None:
        return ""
    section = pipeline.model_dump(mode="json", by_alias=True, exclude_none=True)
    stages = section.get("stages") or []
    section["stages"] = [{key: value for key, value in stage.items() if key not in _HOW_IT_RUNS} for stage in stages]
    parts = [__version__, section, _code(code), shard.to_line()]
    return sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _code(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    record = read_code(folder.with_name("code.json"))
    files = dict(record.files) if record is not None else {}
    with contextlib.suppress(OSError):
        files[PIPELINE_FILE] = sha256((folder / PIPELINE_FILE).read_bytes()).hexdigest()
    return files
