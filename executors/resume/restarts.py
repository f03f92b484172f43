"""Whether a run goes on where it was when it is restarted, without anybody having asked for a checkpoint.

That must be safe for any pipeline: what an interrupted attempt has written of an unfinished partition is replaced when
the partition runs again, or everything begins anew. Writers of this package replace their files, those of NeMo Curator
do under some conditions, and of stages of others nobody knows, unless they say `is_resumable = True`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.executors.resume.checkpoint import says_so, unattributable

_OURS = "curator_slurm."
_CURATOR = "nemo_curator."
_RUN = ("curator_slurm.executors.pipeline", "nemo_curator.pipeline.pipeline")
"""The modules of the pipelines whose `run` does nothing but run the stages."""
_DIGEST = re.compile(r"[0-9a-f]{12}\.\w+")
"""What NeMo Curator's writers name a file whose batch knows where it comes from; others have random names."""
_PLACES = ("path", "output_dir", "output_path")


def why_anew(pipeline: Any, stages: Sequence[Any], executor: Any) -> str:
    """Why a restart of this pipeline begins anew, in words; empty where it goes on. `stages` are those that it runs."""
    owner = next(cls for cls in type(pipeline).__mro__ if "run" in vars(cls))
    if owner.__module__ not in _RUN or "run" in vars(pipeline):
        return f"{type(pipeline).__name__} has a `run` of its own, which may need the results of all partitions"
    if not getattr(executor, "supports_checkpoint", False):
        return f"{type(executor).__name__} does not report which source partitions are finished"
    if reason := unattributable(stages):
        return reason
    if sum(bool(getattr(stage, "is_source_stage", False)) for stage in stages) != 1:
        return "no stage is marked as the source"
    for stage in stages:
        if not _is_ours(stage) and getattr(stage, "mode", None) in ("overwrite", "error"):
            return f"stage {stage.name!r} removes or refuses what is there when it is made (mode={stage.mode!r})"
    if any(_is_curators_writer(stage) for stage in stages):
        for stage in stages:
            if not _is_ours(stage) and _combines(stage):
                return (
                    f"stage {stage.name!r} may combine tasks of a batch, so that NeMo Curator's writer names their "
                    "files differently the next time"
                )
    return ""


def not_replaced(stages: Sequence[Any], folder: Path, files: Iterable[str]) -> str:
    """Why some of the files in the outputs may not be replaced by a restart; empty where all are."""
    strangers = [stage for stage in stages if not _is_ours(stage)]
    if not strangers or any(map(says_so, strangers)):
        return ""
    places = [place for stage in stages if _is_ours(stage) for place in _places_of(stage)]
    curators = [place for stage in stages if _is_curators_writer(stage) for place in _places_of(stage)]
    for name in sorted(files):
        path = folder / name
        if any(path.is_relative_to(place) for place in places):
            continue
        if path.parent in curators and _DIGEST.fullmatch(path.name):
            continue
        named = ", ".join(repr(str(stage.name)) for stage in strangers)
        return (
            f"{name} in the outputs is not of a writer that replaces its files; if the stage which writes it does "
            f"({named}), give it is_resumable = True"
        )
    return ""


def _is_ours(stage: Any) -> bool:
    return type(stage).__module__.startswith(_OURS)


def _is_curators_writer(stage: Any) -> bool:
    module = type(stage).__module__
    return module.startswith(_CURATOR) and hasattr(stage, "mode") and hasattr(stage, "path")


def _combines(stage: Any) -> bool:
    supports = getattr(stage, "supports_batch_processing", None)
    return supports is not None and bool(supports()) and (getattr(stage, "batch_size", None) or 1) > 1


def _places_of(stage: Any) -> Iterator[Path]:
    for each in (stage, *getattr(stage, "writers", ())):
        for key in _PLACES:
            if isinstance(place := getattr(each, key, None), str) and place:
                yield Path(place)
