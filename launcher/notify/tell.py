"""Telling, exactly once: whoever is to tell of an event makes a file first, which only one can make."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.notify.notice import Notice, body_of
from curator_slurm.launcher.notify.post import NotDeliveredError, post_json
from curator_slurm.launcher.notify.run_command import RunCommand
from curator_slurm.launcher.notify.webhook_address import address_of
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.spec.notify_section import NotifyEvent, NotifySpec

Say = Callable[[str], None]


class Teller:
    """Tells of one run by what its spec says; make it while the run's secrets are there.

    `say` is told of what fails, once; nothing that fails here is raised.
    """

    def __init__(
        self, run: RunPaths, notify: NotifySpec, environ: Mapping[str, str], by: str, say: Say, run_command: RunCommand
    ) -> None:
        self._run = run
        self._notify = notify
        self._by = by
        self._say = say
        self._run_command = run_command
        self._address = address_of(run, notify, environ)

    def wants(self, event: NotifyEvent) -> bool:
        """Whether somebody is to be told of this."""
        return self._notify.wants(event)

    def tell(self, notice: Notice, number: int, *, posts: bool = True, commands: bool = True) -> bool:
        """Tell of an event of submission `number`, unless somebody has; whether anything was told here."""
        if not self.wants(notice.event):
            return False
        told = False
        if posts and self._address is not None:
            told = self._by_webhook(notice, number)
        if commands and self._notify.command is not None:
            told = self._by_command(notice, number, self._notify.command) or told
        return told

    def _by_webhook(self, notice: Notice, number: int) -> bool:
        assert self._address is not None
        note = self._claim(notice, number, "webhook")
        if note is None:
            return False
        problem = ""
        try:
            post_json(self._address, body_of(notice, self._notify.body), self._notify.timeout_s)
        except NotDeliveredError as error:
            problem = str(error)
            self._say(f"notify.webhook: run {notice.run_id} could not tell that it is {_what(notice)}: {problem}")
            if not error.may_have_been:  # somebody else may have more luck
                with contextlib.suppress(OSError):
                    note.unlink()
                return False
        self._finish(note, problem)
        return not problem

    def _by_command(self, notice: Notice, number: int, command: str) -> bool:
        note = self._claim(notice, number, "command")
        if note is None:
            return False
        problem = self._run_command(notice, command, self._notify.timeout_s)
        if problem:
            self._say(f"notify.command: run {notice.run_id} could not tell that it is {_what(notice)}: {problem}")
        self._finish(note, problem)
        return not problem

    def _claim(self, notice: Notice, number: int, way: str) -> Path | None:
        """The file that says who tells; None where somebody else does."""
        event = "waiting" if notice.event is NotifyEvent.WAITING else "end"
        path = self._run.notices / f"{event}.{number:04d}.{way}"
        try:
            self._run.notices.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return None
        except OSError as error:
            self._say(f"notify: cannot write {path}, so nobody is told: {storage_errors.what(error)}")
            return None
        return path

    def _finish(self, note: Path, problem: str) -> None:
        with contextlib.suppress(OSError):
            write_json(note, {"schema": 1, "time": time.time(), "by": self._by, "problem": problem}, mode=0o600)


def _what(notice: Notice) -> str:
    return "waiting" if notice.event is NotifyEvent.WAITING else str(notice.state)
