"""Publishing the outputs of a sharded run: verified, in one place, described, and never called complete if it is not.

The dataset is made in a hidden folder beside its place and appears by one rename. A `collect` that was killed at any
point is repeated and goes on; one that has finished, and is repeated, finds everything there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.common.in_words import several
from curator_slurm.common.sizes import parse_size
from curator_slurm.launcher.dataset import dataset_record, merge
from curator_slurm.launcher.dataset.dataset_record import DatasetFile
from curator_slurm.launcher.dataset.merge_errors import CannotMergeError
from curator_slurm.launcher.dataset.place import place
from curator_slurm.launcher.dataset.verify import Progress, Verified, verify
from curator_slurm.launcher.errors import RunIncompleteError, StorageError
from curator_slurm.launcher.files import is_filled, write_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.ranges import parse_numbers, some_numbers
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.giving_way import GivingWay
from curator_slurm.launcher.runs.lock import COLLECT_LOCK, RunLock
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.published import owner as published_by
from curator_slurm.launcher.runs.published import read_summary, why_kept
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.secrets import remove_secrets
from curator_slurm.launcher.runs.shared_modes import current_umask, hand_over, passed_on
from curator_slurm.launcher.spec.data_sections import IfExists


@dataclass(frozen=True)
class Collected:
    """What was published, and what is wrong with the rest."""

    target: Path
    summary: dict[str, Any]
    problems: dict[int, str] = field(default_factory=dict)
    note: str = ""
    """Said instead of everything else, where there was nothing to collect."""

    @property
    def is_complete(self) -> bool:
        return bool(self.summary["complete"])

    @property
    def missing(self) -> list[int]:
        """Shards that are not in it."""
        text = str(self.summary["shards"]["missing"])
        return parse_numbers(text) if text else []


@dataclass(frozen=True)
class _Goal:
    """Where the dataset goes: `target`, made in `staging` unless it is only added to."""

    target: Path
    staging: Path
    in_place: bool
    merged: bool
    run_id: str
    other: Path | None = None
    """Where a dataset of the other kind, merged or not, was begun, if one was."""

    @property
    def old(self) -> GivingWay:
        """What was there before, if it is replaced."""
        return GivingWay(self.target, self.run_id)

    def ours(self) -> dict[str, Any] | None:
        """The summary of the dataset that is there, if it is this run's."""
        return _own_summary(self.target, self.run_id)


def collect_run(
    run: Run,
    plan: Plan,
    progress: Progress,
    *,
    partial: bool = False,
    merges: bool = True,
    patience_s: float = 10.0,
) -> Collected:
    """Verify and publish; with `partial`, what there is; without `merges`, the files of the shards as they are.

    Another `collect` is waited for `patience_s`.

    Raises:
        RunIncompleteError: shards are missing or damaged, and `partial` is not asked for: nothing was published.
        StorageError: the target is not ours to fill, or cannot be written.
    """
    record = run.record
    assert record is not None
    with RunLock(run.paths.lock(COLLECT_LOCK), "collect", patience_s=patience_s):
        goal = _goal(run.paths, plan, merges=merges)
        replaces = _check_target(goal, plan.spec.output.if_exists)
        if (ready := _published_merged(goal)) is not None:
            return Collected(goal.target, ready, note=f"The dataset is published already, and merged: {goal.target}")
        done = sorted(done_shards(run.paths))
        found = verify(run.paths, done, _places(run.paths, goal), progress, checksums=True)
        missing = record.shards - len(found.good)
        if missing and not partial:
            raise RunIncompleteError(_incomplete(run, found, record.shards))
        if replaces:
            _check_worth(goal, found, missing, record.shards)
        summary = _publish(run, plan, goal, found, progress)
        if summary["complete"]:
            _remove(goal.staging)  # what was replaced is there, if that died before it could be moved aside
        published = {"schema": 1, "target": str(goal.target), "time": time.time(), **summary}
        write_json(run.paths.collected, published, mode=0o600)
        if not missing:
            remove_secrets(run.paths)
        return Collected(goal.target, summary, found.problems)


def _goal(run: RunPaths, plan: Plan, *, merges: bool) -> _Goal:
    output = plan.spec.output
    merged = output.merge is not None and merges
    target = Path(output.path) if output.path else (run.merged if merged else run.outputs)
    GivingWay(target, run.run_id).put_back(lambda: _own_summary(target, run.run_id) is not None)
    if merged and _is_unmerged(_own_summary(target, run.run_id)):
        merged = False  # it was published so, and its files have left their shards
    staging = target.with_name(f".{target.name}.{run.run_id}.collect")
    if output.merge is None:
        return _Goal(target, staging, target == run.outputs, merged, run.run_id)
    unmerged = staging.with_name(f"{staging.name}-unmerged")
    if merged:
        return _Goal(target, staging, False, merged, run.run_id, other=unmerged)
    return _Goal(target, unmerged, target == run.outputs, merged, run.run_id, other=staging)


def _own_summary(target: Path, run_id: str) -> dict[str, Any] | None:
    summary = read_summary(target)
    return summary if summary is not None and summary.get("run_id") == run_id else None


def _is_unmerged(summary: dict[str, Any] | None) -> bool:
    return summary is not None and not summary.get("merged")


def _published_merged(goal: _Goal) -> dict[str, Any] | None:
    """The summary of a dataset that is there, whole and merged, where an unmerged one is asked for."""
    summary = None if goal.merged else goal.ours()
    return summary if summary and summary.get("merged") and summary.get("complete") else None


def _places(run: RunPaths, goal: _Goal) -> Sequence[Path]:
    """Folders in which the outputs of a shard may be: taken away by an earlier collect, or where they were written."""
    if goal.merged and goal.other is not None:
        return [run.outputs, goal.other]
    if goal.in_place:
        return [run.outputs]
    return [*([goal.target] if goal.ours() is not None else []), goal.staging, run.outputs]


def _check_target(goal: _Goal, if_exists: IfExists) -> bool:
    """Refuse a target that holds anything else than this run's own dataset; whether it is one to be replaced."""
    if goal.in_place:
        return False
    try:
        if not is_filled(goal.target) or goal.ours() is not None:
            return False
        why = why_kept(goal.target) if if_exists is IfExists.REPLACE else ""
    except OSError as error:
        raise StorageError(f"output.path {goal.target} cannot be read: {error.strerror}") from error
    if if_exists is IfExists.REPLACE and not why:
        return True
    owner = published_by(goal.target)
    what = f"holds the dataset of run {owner}" if owner else "is not empty"
    raise StorageError(
        f"output.path {goal.target} {what}: nothing was published.\n"
        + (f"It cannot be replaced: it {why}.\n" if why else "")
        + "Move what is there away, and collect again, or publish elsewhere with --to DIR; the outputs are safe in the "
        "run directory"
    )


def _check_worth(goal: _Goal, found: Verified, missing: int, total: int) -> None:
    """Refuse to replace a dataset by an incomplete one, or by nothing."""
    if missing:
        verb = "is" if missing == 1 else "are"
        what = f"{missing:,} of {several(total, 'shard')} {verb} missing, and an incomplete dataset replaces none"
    elif not any(good.record.files for good in found.good.values()):
        what = "the run has kept nothing, which replaces no dataset"
    else:
        return
    raise RunIncompleteError(
        f"output.path {goal.target} has the dataset of run {published_by(goal.target)}, which stays: {what}.\n"
        "Nothing was published; --to DIR publishes it elsewhere."
    )


def _incomplete(run: Run, found: Verified, total: int) -> str:
    damaged = found.problems
    missing = [shard for shard in range(total) if shard not in found.good and shard not in damaged]
    lines = [f"run {run.run_id} is incomplete: {len(found.good):,} of {several(total, 'shard')} can be published."]
    if missing:
        lines.append(f"Not done: {some_numbers(missing)}. `curator-slurm retry {run.run_id}` submits them again.")
    for shard, problem in list(damaged.items())[:5]:
        lines.append(f"Shard {shard} is damaged: {problem}.")
    if damaged:
        more = f" (and {len(damaged) - 5} more)" if len(damaged) > 5 else ""
        first = next(iter(damaged))
        lines.append(
            f"Damaged: {some_numbers(damaged)}{more}. To process such a shard again, remove "
            f"{run.paths.done(first).name} in {run.paths.shards} and "
            f"{run.paths.shard_outputs(first).name} in {run.paths.outputs}, then retry."
        )
    lines.append("Nothing was published; --partial publishes what there is.")
    return "\n".join(lines)


def _publish(run: Run, plan: Plan, goal: _Goal, found: Verified, progress: Progress) -> dict[str, Any]:
    if goal.in_place:
        goal.target.mkdir(parents=True, exist_ok=True)
        return _describe(run, plan, goal, goal.target, found, _files(run, found))
    if goal.merged:
        return _publish_merged(run, plan, goal, found, progress)
    into = goal.target if _is_unmerged(goal.ours()) else goal.staging
    place(run.paths, found.good, into, progress)
    summary = _describe(run, plan, goal, into, found, _files(run, found))
    if into == goal.staging:
        _appear(goal)
    if goal.other is not None:
        _remove(goal.other)  # copies, which a merge that could not end has left
    return summary


def _publish_merged(run: Run, plan: Plan, goal: _Goal, found: Verified, progress: Progress) -> dict[str, Any]:
    assert plan.spec.output.merge is not None
    size = parse_size(plan.spec.output.merge.target_size)
    ready = goal.ours()
    if ready and ready.get("complete") and len(found.good) == ready["shards"]["published"]:
        return ready
    parts = merge.plan_parts(found.good, size)
    try:
        files = merge.merge(parts, goal.staging, progress)
    except CannotMergeError as error:
        raise CannotMergeError(
            f"the outputs cannot be merged: {error}.\n"
            f"Nothing is lost: `curator-slurm collect {run.run_id} --no-merge` publishes the files of the shards as "
            "they are"
        ) from error
    summary = _describe(run, plan, goal, goal.staging, found, files)
    _appear(goal)
    return summary


def _files(run: Run, found: Verified) -> list[DatasetFile]:
    return [
        file
        for shard, good in sorted(found.good.items())
        for file in dataset_record.files_of(run.paths.shard_outputs(shard).name, good.record)
    ]


def _describe(
    run: Run, plan: Plan, goal: _Goal, target: Path, found: Verified, files: Sequence[DatasetFile]
) -> dict[str, Any]:
    assert run.record is not None
    records = {shard: good.record for shard, good in sorted(found.good.items())}
    try:
        return dataset_record.write_description(
            run.paths,
            target,
            name=plan.spec.name,
            total=run.record.shards,
            records=records,
            files=files,
            merged=goal.merged,
        )
    except OSError as error:
        raise StorageError(f"cannot describe the dataset in {target}: {error.strerror or error}") from error


def _appear(goal: _Goal) -> None:
    """The staged dataset takes its place, by one rename; what was there before is removed after it."""
    try:
        if goal.target.exists():
            hand_over(goal.staging, passed_on(goal.target, current_umask()))
        if goal.target.exists() and any(goal.target.iterdir()):
            goal.old.give_way(goal.staging)
        else:
            goal.staging.rename(goal.target)
        sync_folder(goal.target.parent)
        goal.old.drop()
    except OSError as error:
        raise StorageError(
            f"the dataset cannot be moved to {goal.target}: {error.strerror or error}; it is complete in "
            f"{goal.staging}, and `collect` continues from there"
        ) from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
