"""Staged outputs of a shard become its outputs: by one rename, exactly once, whoever else tries the same.

The order makes it safe to die anywhere: the marker is in the staging folder before the rename, so a published folder
is never empty and the second rename onto it fails; the done file is written after the rename, from the marker, and
can be written again by anybody. Nothing is believed of a name that is not seen: network storage hides new names for
a while. The rename itself is decided by the server.
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
from pathlib import Path

from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.launcher.agent.inventory import sync, take_inventory
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.done_records import read_done, read_marker, recover_done
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord, Shard

log = logging.getLogger("curator_slurm.agent")

VISIBLE_WITHIN_S = 60.0
"""Network storage may hide a new name for so long from a node that has looked for it before."""
_TRIES = 3


@dataclass(frozen=True)
class Published:
    """The record of a shard that is done, and whether this attempt did it."""

    record: DoneRecord
    ours: bool


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Publishes the attempts of one run; `sleep` and `patience_s` are for waiting until names are seen."""

    run: RunPaths
    checksums: bool = False
    patience_s: float = VISIBLE_WITHIN_S
    sleep: Callable[[float], object] = time.sleep

    def finished(self, shard: int) -> DoneRecord | None:
        """The record of a shard that is done; its done file is written if its element died before it could."""
        with contextlib.suppress(ValueError, OSError):  # damaged or not to be read: the marker knows it
            record = read_done(self.run, shard)
            if record is not None:
                return record
        return recover_done(self.run, shard)

    def publish(self, attempt: AttemptPaths, shard: Shard, started: float, tasks_failed: int = 0) -> Published:
        """Publish the staged outputs of an attempt, or find that another attempt was first and discard them.

        Raises:
            StorageError: they cannot be published: nothing of them is in the outputs, and the staging folder stays.
            OSError: the storage refuses; the same is true.
        """
        staging, target = attempt.outputs, self.run.shard_outputs(shard.index)
        if (winner := self.finished(shard.index)) is not None:
            return self._lost(attempt, winner)
        record = DoneRecord(
            shard=shard.index,
            attempt=attempt.name,
            started=started,
            published=time.time(),
            input_files=len(shard.files),
            input_bytes=shard.bytes,
            files=take_inventory(staging, checksums=self.checksums),
            tasks_failed=tasks_failed,
        )
        write_json(staging / MARKER, record.to_json())
        sync(staging)
        self.run.outputs.mkdir(mode=0o700, exist_ok=True)
        winner = self._rename(staging, target, record)
        if winner != record:
            return self._lost(attempt, winner)
        sync_folder(target.parent)
        try:
            write_json(self.run.done(shard.index), record.to_json())
        except OSError as error:  # whoever looks next writes it from the marker
            log.warning("shard %d is published, but its done file cannot be written: %s", shard.index, error)
        self._sweep(attempt)
        return Published(record, ours=True)

    def discard(self, attempt: AttemptPaths) -> None:
        """Remove the staging folder of an attempt that will not be published."""
        shutil.rmtree(attempt.outputs, ignore_errors=True)

    def _rename(self, staging: Path, target: Path, record: DoneRecord) -> DoneRecord:
        """Rename, and say whose outputs are there now: the answer of the storage can be lost, or late."""
        for attempt in range(_TRIES):
            try:
                staging.rename(target)
                return record
            except OSError as error:
                there = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or not staging.exists()
                found = self._marker(target, record.shard, self.patience_s if there else 0.0)
                if found is not None:
                    return found
                if there or error.errno in (errno.ENOTDIR, errno.EXDEV):
                    raise StorageError(
                        f"{target} is there, but not as the outputs of a shard: move it away"
                        if target.exists()
                        else f"outputs cannot be renamed to {target}: {error.strerror}"
                    ) from error
                if attempt == _TRIES - 1 or error.errno not in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR):
                    raise
                log.warning("renaming %s failed, trying again: %s", staging, error)
                self.sleep(1.0)
        raise AssertionError("the last attempt returns or raises")

    def _marker(self, target: Path, shard: int, patience_s: float) -> DoneRecord | None:
        """The marker in published outputs; waits for it, because it may be hidden from us still."""
        deadline = time.monotonic() + patience_s
        while True:
            found = read_marker(target)
            if found is not None and found.shard == shard:
                return found
            if time.monotonic() >= deadline:
                return None
            with contextlib.suppress(OSError):
                os.listdir(target)  # noqa: PTH208 (makes network storage look again)
            self.sleep(0.5)

    def _lost(self, attempt: AttemptPaths, winner: DoneRecord) -> Published:
        """Another attempt was first (or we were, and only learn of it now)."""
        recover_done(self.run, winner.shard)
        self.discard(attempt)
        return Published(winner, ours=winner.attempt == attempt.name)

    def _sweep(self, attempt: AttemptPaths) -> None:
        """Remove what earlier attempts at this shard left staged when they were killed."""
        with contextlib.suppress(OSError):
            for other in attempt.root.parent.iterdir():
                if other.name != attempt.name:
                    shutil.rmtree(other / attempt.outputs.name, ignore_errors=True)
