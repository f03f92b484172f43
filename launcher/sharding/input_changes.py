"""How the input of a sharded run differs now from what was planned: changed, vanished and new files, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curator_slurm.launcher.inputs.listing import Progress, list_inputs
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.manifest import read_manifest
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.sharding.changes import InputChange, find_changes, summarise
from curator_slurm.launcher.sharding.plan_shards import collector_off


def input_changes(run: RunPaths, plan: Plan, progress: Progress = lambda *_: None) -> list[InputChange]:
    """List the input of a plan again, and compare it with the manifest of a run.

    Raises:
        StorageError: the input cannot be listed, or there is no manifest.
    """
    if plan.spec.input is None:
        return []
    with collector_off():
        return find_changes(read_manifest(run.manifest), list_inputs(plan.spec.input, progress).files)


def changes_in_words(changes: Sequence[InputChange]) -> Iterator[str]:
    """Lines about them; none where nothing has changed."""
    if changes:
        files = "1 input file is" if len(changes) == 1 else f"{len(changes):,} input files are"
        yield f"{files} not as planned:"
        yield from summarise(changes)
