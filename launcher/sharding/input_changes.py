"""How the input of a sharded run differs now from what was planned: changed, vanished and new files, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curator_slurm.launcher.inputs.filelist import digest_of
from curator_slurm.launcher.inputs.listing import Progress, list_inputs
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.manifest import read_manifest, revised_shards
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.sharding.changes import InputChange, find_changes, summarise
from curator_slurm.launcher.sharding.plan_shards import collector_off
from curator_slurm.launcher.spec.data_sections import InputSpec


def input_changes(run: Run, plan: Plan, progress: Progress = lambda *_: None) -> list[InputChange]:
    """List the input of a plan again, and compare it with the manifest of a run.

    Raises:
        StorageError: the input cannot be listed, or there is no manifest.
    """
    if plan.spec.input is None or _has_same_list(run, plan.spec.input):
        return []
    with collector_off():
        return find_changes(read_manifest(run.paths.manifest), list_inputs(plan.spec.input, progress).files)


def _has_same_list(run: Run, given: InputSpec) -> bool:
    """Whether a list alone names the input, with all sizes, and has not changed since the run was planned.

    Shards that a retry has revised are compared with it file by file.
    """
    known = run.record.list_sha256 if run.record is not None else ""
    if not known or given.manifest is None or given.paths or revised_shards(run.paths.manifest):
        return False
    return digest_of(given.manifest) == known


def changes_in_words(changes: Sequence[InputChange]) -> Iterator[str]:
    """Lines about them; none where nothing has changed."""
    if changes:
        files = "1 input file is" if len(changes) == 1 else f"{len(changes):,} input files are"
        yield f"{files} not as planned:"
        yield from summarise(changes)
