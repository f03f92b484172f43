"""Staged outputs of a shard become its outputs: by one rename, exactly once, whoever else tries the same.

The order makes it safe to die anywhere: the marker is in the staging folder before the rename, so a published folder
is never empty and the second rename onto it fails; the done file is written after the rename, from the marker, and
can be written again by anybody. Nothing is believed of a name that is not seen: network storage hides new names for
a while. The rename itself is decided by the server.

The target is a folder of `outputs/` in an array. Without an array it is the user's: it may be on another file system,
where the staged files are copied next to it before the rename, and nothing that was staged is thrown away before it
is published.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.done_records import published_record, read_done, read_marker, recover_done
from curator_slurm.launcher.runs.giving_way import GivingWay
from curator_slurm.launcher.runs.inventory import sync, take_inventory
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.published import owner, why_kept
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord, Failed, Shard
from curator_slurm.launcher.runs.shared_modes import hand_over, make_folders, passed_on
from curator_slurm.launcher.runs.takeover import discard, sweep, taken_over_by
from curator_slurm.launcher.waiting import Patience

log = logging.getLogger("curator_slurm.agent")

VISIBLE_WITHIN_S = 60.0
"""Network storage may hide a new name for so long from a node that has looked for it before."""
_STEP_S = 2.0
"""The most that counts as waiting between two looks at a marker: storage may stall in between."""
_TRIES = 3
_COPY = ".tmp"
NONE_FAILED = Failed()


@dataclass(frozen=True)
class Published:
    """The record of a shard that is done, whether this attempt did it, and where the outputs are, if there are any."""

    record: DoneRecord
    ours: bool
    outputs: Path | None


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Publishes the attempts of one run; `sleep` and `patience_s` are for waiting until names are seen."""

    run: RunPaths
    checksums: bool = False
    umask: int = 0o077
    """The user's, for what is published outside the run directory, which is private."""
    replaces: bool = False
    """Whether what an earlier run has published at `output.path` gives way (`output.if_exists`)."""
    patience_s: float = VISIBLE_WITHIN_S
    sleep: Callable[[float], object] = time.sleep

    @property
    def keeps_staging(self) -> bool:
        """Whether what attempts leave staged stays; in an array it would fill the storage of the other shards."""
        return self.run.target is not None

    def finished(self, shard: int) -> DoneRecord | None:
        """The record of a shard that is done; its done file is written if its element died before it could.

        What was being replaced when an earlier attempt died is put right.
        """
        if self._old is None:
            return self._record(shard)
        self._old.put_back(lambda: published_record(self.run, shard) is not None)
        record = self._record(shard)
        if record is not None:
            self._tidy(self._old, shard)
        return record

    def _record(self, shard: int) -> DoneRecord | None:
        with contextlib.suppress(ValueError, OSError):  # damaged or not to be read: the marker knows it
            record = read_done(self.run, shard)
            if record is not None:
                return record
        return recover_done(self.run, shard)

    @property
    def _old(self) -> GivingWay | None:
        """What gives way to the outputs; None where nothing may."""
        return GivingWay(self.run.target, self.run.run_id) if self.replaces and self.run.target else None

    def outputs(self, record: DoneRecord) -> Path | None:
        """Where the outputs of a shard that is done are; None where the pipeline staged none, and another's are there.

        Where there are none, the folder is empty, for those who open it next.
        """
        place = self.run.shard_outputs(record.shard)
        return None if self._is_empty(record) and place.exists() and any(place.iterdir()) else place

    def _is_empty(self, record: DoneRecord) -> bool:
        """Whether there is nothing to rename: without an array, the pipeline may have written elsewhere."""
        return self.run.target is not None and not record.files

    def publish(
        self,
        attempt: AttemptPaths,
        shard: Shard,
        started: float,
        failed: Failed = NONE_FAILED,
        nothing_kept: str = "",
    ) -> Published:
        """Publish the staged outputs of an attempt, or find that another attempt was first and discard them.

        Raises:
            StorageError: they cannot be published: nothing of them is in the outputs, and the staging folder stays.
        """
        try:
            return self._publish(attempt, shard, started, failed, nothing_kept)
        except OSError as error:
            target = self.run.shard_outputs(shard.index)
            known = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
            why = self._taken(target) if known else storage_errors.what(error)
            kept = f"; they are complete in {attempt.outputs}" if self.keeps_staging else ""
            raise StorageError(f"outputs cannot be published to {target}: {why}{kept}") from error

    def _taken(self, target: Path) -> str:
        """What is said of a target that has something else in it."""
        with contextlib.suppress(OSError):
            if self.replaces and (why := why_kept(target)):
                return f"it exists already, and {why}, so that it is not replaced"
        return "it exists already and is not empty"

    def _publish(
        self, attempt: AttemptPaths, shard: Shard, started: float, failed: Failed, nothing_kept: str
    ) -> Published:
        staging, target = attempt.outputs, self.run.shard_outputs(shard.index)
        if (winner := self.finished(shard.index)) is not None:
            return self._lost(attempt, winner)
        earlier = read_marker(staging)
        if earlier is not None and (earlier.run_id, earlier.attempt) == (self.run.run_id, attempt.name):
            (staging / MARKER).unlink()  # ours: it could not be published before
        record = DoneRecord(
            run_id=self.run.run_id,
            shard=shard.index,
            attempt=attempt.name,
            started=started,
            published=time.time(),
            input_files=len(shard.files),
            input_bytes=shard.bytes,
            files=take_inventory(staging, checksums=self.checksums),
            tasks_failed=failed.tasks,
            rows_failed=failed.rows,
            nothing_kept=nothing_kept,
        )
        if self._is_empty(record):
            if (place := self.outputs(record)) is not None:
                make_folders(place, self.umask)
            write_json(self.run.done(shard.index), record.to_json())
            sweep(attempt)
            return Published(record, ours=True, outputs=place)
        write_json(staging / MARKER, record.to_json())
        sync(staging)
        self._hand_over(staging, target)
        make_folders(target.parent, self.umask)
        winner = self._rename(attempt, target, record)
        if winner != record:
            return self._lost(attempt, winner)
        sync_folder(target.parent)
        try:
            write_json(self.run.done(shard.index), record.to_json())
        except OSError as error:  # whoever looks next writes it from the marker
            log.warning("shard %d is published, but its done file cannot be written: %s", shard.index, error)
        sweep(attempt)
        if (old := self._old) is not None:
            old.drop()
        return Published(record, ours=True, outputs=target)

    def _hand_over(self, folder: Path, target: Path) -> None:
        """Give outputs to where they will be, before they are there."""
        if not target.is_relative_to(self.run.root):
            (folder / MARKER).chmod(0o666 & ~self.umask)
            hand_over(folder, passed_on(target, self.umask))

    def _rename(self, attempt: AttemptPaths, target: Path, record: DoneRecord) -> DoneRecord:
        """Rename, and say whose outputs are there now: the answer of the storage can be lost, or late."""
        source = attempt.outputs
        tries = 0
        while True:
            try:
                return self._put(source, target, record)
            except OSError as error:
                if error.errno == errno.EXDEV and source == attempt.outputs and self.run.target is not None:
                    source = self._copy(attempt, target)
                    continue
                tries += 1
                there = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or not source.exists()
                found = self._marker(record.shard, self.patience_s if there and not taken_over_by(attempt) else 0.0)
                again = error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR)
                if found is None and tries < _TRIES and ((again and not there) or self._gives_way(target)):
                    log.warning("renaming %s failed, trying again: %s", source, error)
                    self.sleep(1.0)
                    continue
                if source != attempt.outputs:
                    shutil.rmtree(source, ignore_errors=True)
                if found is not None:
                    return found
                raise

    def _put(self, source: Path, target: Path, record: DoneRecord) -> DoneRecord:
        """Rename, once; what may be replaced gives way, unless it turns out to be another attempt's at this run."""
        try:
            source.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self._gives_way(target):
                raise
        else:
            return record
        old = GivingWay(target, self.run.run_id)
        old.give_way(source)
        other = read_marker(old.aside)
        if other is None or other.run_id != self.run.run_id:
            return record
        old.take_back(source)
        return other

    def _gives_way(self, target: Path) -> bool:
        """Whether what is there now was published by another run, and is to be replaced."""
        try:
            return self._old is not None and owner(target) != self.run.run_id and not why_kept(target)
        except OSError:
            return False

    def _tidy(self, old: GivingWay, shard: int) -> None:
        """Remove what an attempt that has published, and died then, has left of what it replaced."""
        left = list(old.target.parent.glob(f"{escape(_copies_of(old.target, self.run))}*{_COPY}"))
        left += [path for path in self.run.attempts_of(shard).glob("*/work/outputs") if owner(path) is not None]
        for path in left:
            if owner(path) != self.run.run_id:
                shutil.rmtree(path, ignore_errors=True)

    def _copy(self, attempt: AttemptPaths, target: Path) -> Path:
        """Copy what is staged to a folder beside the target, durably; copies of attempts that died are removed."""
        mark = _copies_of(target, self.run)
        for left in target.parent.glob(f"{escape(mark)}*{_COPY}"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = target.with_name(f"{mark}{attempt.name}{_COPY}")
        try:
            shutil.copytree(attempt.outputs, temporary, symlinks=True)
            for folder, _, names in os.walk(temporary):
                for name in names:
                    if not (path := Path(folder, name)).is_symlink():
                        sync(path)
                sync(Path(folder))
            self._hand_over(temporary, target)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return temporary

    def _marker(self, shard: int, patience_s: float) -> DoneRecord | None:
        """The marker in published outputs; waits for it, because it may be hidden from us still."""
        patience = Patience(patience_s, _STEP_S)
        while True:
            found = published_record(self.run, shard)
            if found is not None:
                return found
            if patience.tick() >= patience_s or self._is_foreign(shard):
                return None
            self.sleep(0.5)

    def _is_foreign(self, shard: int) -> bool:
        """Whether what is there is certainly not of this shard: its marker is there as soon as anything of it is."""
        place = self.run.shard_outputs(shard)
        with contextlib.suppress(OSError):
            names = os.listdir(place)  # noqa: PTH208 (makes network storage look again)
            if MARKER in names:
                marker = read_marker(place)
                return marker is not None and (marker.run_id, marker.shard) != (self.run.run_id, shard)
            return bool(names)
        return False

    def _lost(self, attempt: AttemptPaths, winner: DoneRecord) -> Published:
        """Another attempt was first (or we were, and only learn of it now)."""
        recover_done(self.run, winner.shard)
        discard(attempt)
        return Published(winner, winner.attempt == attempt.name, self.outputs(winner))


def _copies_of(target: Path, run: RunPaths) -> str:
    """How the names of copies begin that are made beside the target."""
    return f".{target.name}.{run.run_id}."
