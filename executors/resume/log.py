"""The log of finished source partitions: append-only files of JSON lines, one file for each run.

A run writes to a file of its own and reads all of them, so runs on different hosts may share a folder on a network
file system, where appends of two hosts to one file could mix. What is in the files: common/checkpoint_files.py.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.addresses import is_address
from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.common.checkpoint_files import FOLDER, read_finished
from curator_slurm.common.finished_work import Part, Work, WorkBefore, work_of

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class CheckpointError(ValueError):
    """The checkpoint cannot be used: not a folder of this machine, not writable, or of another pipeline."""


class CheckpointLog:
    """The log of one run. `append` never waits for the disk: a thread writes, and syncs what it wrote."""

    def __init__(self, checkpoint_path: str | os.PathLike[str], stages: Sequence[str]) -> None:
        """Read what earlier runs have finished, and start this run's file.

        Raises:
            CheckpointError: it cannot be written, or its runs had other stages.
        """
        self._folder = local_folder(checkpoint_path) / FOLDER
        self.finished: frozenset[str] = frozenset()
        self.before = WorkBefore()
        self._path = self._folder / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.finished = self._read(list(stages))
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise CheckpointError(
                f"checkpoint_path {self._folder.parent} cannot be used: {error.strerror or error}; "
                "choose a writable folder"
            ) from error
        self._torn = False
        self._warned = False
        self._recorded = 0
        self._waiting: list[str] = []
        self._work = Work()
        """What was counted of those that wait."""
        self._wake = threading.Condition()
        self._closing = False
        try:
            self._write({"schema": 1, "stages": list(stages)})
            sync_folder(self._folder)
        except OSError as error:
            self._discard()
            raise CheckpointError(f"checkpoint_path {self._folder.parent} cannot be written: {error}") from error
        self._thread = threading.Thread(target=self._follow, daemon=True, name="checkpoint")
        self._thread.start()

    def append(self, sources: Iterable[str], work: Work | None = None) -> None:
        """Record finished sources, and what was counted of them, without waiting for the disk."""
        with self._wake:
            self._waiting += sources
            if work is not None:
                self._work.add(work)
            self._wake.notify()

    def close(self) -> None:
        """Write what is pending and stop. What cannot be written runs again in the next run, which is logged."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        if self._waiting:
            log.warning("%d finished source partitions could not be recorded; they will run again", len(self._waiting))
        if self._recorded:
            os.close(self._file)
        else:
            self._discard()

    def _discard(self) -> None:
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def _read(self, stages: list[str]) -> frozenset[str]:
        finished: set[str] = set()
        found: list[list[Part]] = []
        for file in read_finished(self._folder.parent):
            sources, theirs = file.sources, file.stages
            if sources and theirs is not None and theirs != stages:
                raise CheckpointError(
                    f"checkpoint_path {self._folder.parent} belongs to a pipeline with the stages "
                    f"{', '.join(theirs)}; this one has {', '.join(stages)}. Use another "
                    "checkpoint_path and other outputs, or remove both"
                )
            finished |= sources
            found.append(file.parts)
        self.before = work_of(found)
        return frozenset(finished)

    def _follow(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                batch, self._waiting = self._waiting, []
                work, self._work = self._work, Work()
                closing = self._closing
            if not batch:
                return
            try:
                self._write({"finished": batch, **(work.to_json() if work.counts else {})})
                self._recorded += len(batch)
            except OSError as error:
                with self._wake:
                    self._waiting = batch + self._waiting
                    work.add(self._work)
                    self._work = work
                if closing:
                    return
                if not self._warned:
                    self._warned = True
                    log.warning("%s cannot be written (%s); retrying", self._path, error)
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, _RETRY_S)

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        if self._torn:  # end the incomplete line, so that this one stands alone
            line = b"\n" + line
        self._torn = True
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
        self._torn = False


def local_folder(path: str | os.PathLike[str]) -> Path:
    """The folder that a `checkpoint_path` names.

    Raises:
        CheckpointError: it is an address, or there is a file of that name.
    """
    text = os.fspath(path)
    if not text:
        raise CheckpointError("checkpoint_path must not be empty")
    if is_address(text):
        raise CheckpointError(f"checkpoint_path must be a folder, not an address: {text}")
    folder = Path(text).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"checkpoint_path {folder} is a file; give a folder")
    return folder
