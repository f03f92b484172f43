"""Commands of Slurm that the batch shell runs for an agent: there may be none where the agent lives.

A question is a file in the folder `questions` of the element: the seconds that it may take, then the words of the
command, a line each. The shell (`_slurm.j2`) removes it, runs the command and leaves three files: output, errors, and
last the exit code. It is on the same node as the head's agent, so that both see each other's files at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.files import RECORD_BYTES
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.slurm import messages

LOOK_S = 1.0
"""Between two looks for an answer; the shell looks for questions as often."""


class SlurmQuestion:
    """A command that the batch shell is asked to run; several may be asked at once.

    Raises:
        SlurmError: storage takes no question.
    """

    def __init__(self, cluster: ClusterPaths, command: Sequence[str], within_s: float) -> None:
        self._command = list(command)
        self._within_s = within_s
        self._asked = time.monotonic()
        name = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._files = {end: cluster.questions / f"{name}.{end}" for end in ("ask", "out", "err", "code")}
        lines = [str(math.ceil(within_s)), *command]
        if any("\n" in line for line in lines):
            raise ValueError(f"a word of {command} has several lines")
        try:
            cluster.questions.mkdir(mode=0o700, exist_ok=True)
            write_atomic(self._files["ask"], "".join(f"{line}\n" for line in lines), 0o600, durable=False)
        except OSError as error:
            raise SlurmError(f"cannot ask for {command[0]}: {error}", command) from error

    def answer(self) -> str:
        """What the command printed.

        Raises:
            SlurmError: it failed, or there was no answer in time.
        """
        try:
            code = self._wait()
            out, err = _text(self._files["out"]), _text(self._files["err"])
        finally:
            for path in self._files.values():
                with contextlib.suppress(OSError):
                    path.unlink()
        if code != 0:
            raise SlurmError(messages.failed(self._command[0], code, err), self._command, code, out, err)
        return out

    def _wait(self) -> int:
        """Until there is an exit code."""
        code = None
        while code is None:
            left = self._asked + self._within_s - time.monotonic()
            if left <= 0:
                reason = f"the batch shell has not answered within {several(self._within_s, 'second')}"
                raise SlurmError(messages.unreachable(self._command[0], reason), self._command)
            time.sleep(min(LOOK_S, left))
            code = whole_number(_text(self._files["code"]).strip())
        return code


def _text(path: Path) -> str:
    try:
        return read_plain(path, RECORD_BYTES).decode(errors="replace")
    except OSError:
        return ""
