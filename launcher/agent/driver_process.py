"""The driver as the head agent sees it: a child that imports early, waits for the cluster, runs, and is judged."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.common.json_fields import whole
from curator_slurm.launcher.agent.processes import die_with_parent
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.attempt_records import DRAINED, driver_phases
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.slurm import signals
from curator_slurm.launcher.tails import last_lines

_MEMORY_SIGNS = re.compile(
    r"ray\.exceptions\.OutOfMemoryError|\bMemoryError\b|Task was killed due to the node running low"
)
_STORAGE_SIGNS = re.compile(
    r"\bOSError: \[Errno (28|30|122)\] |\b(No space left on device|Disk quota exceeded|Read-only file system)\b"
)
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""How a process ends that nobody has killed: native threads that live on may do that to one that is exiting."""
_MEMORY_STEP = "raise resources.mem_per_node, or run fewer workers at a time"
_UNFLUSHED = 120
"""Exit code of a Python whose output cannot be flushed at its end."""
_NO_PROGRAM = {
    126: "a program of the command may not be run: chmod +x it, or name its interpreter; the end of the log says which",
    127: "a program of the command was not found, the end of the log says which: give its whole path, or bring it with "
    "environment.modules or environment.setup",
}
"""What shells exit with -> what to do."""
_STORAGE_STEP = "make room on the storage, or ask for more quota, then try again"


class DriverProcess:
    """`python -m curator_slurm.launcher.driver.driver`, in its own process group, logging to driver.log."""

    def __init__(
        self,
        attempt: AttemptPaths,
        plan: Path,
        environment: Mapping[str, str],
        cwd: Path,
        umask: int,
        *,
        is_command: bool = False,
    ) -> None:
        self.attempt = attempt
        self.terminated = False
        """It is the user's own program, and has got SIGTERM: whatever it ends with, it may not be complete."""
        self._is_command = is_command
        attempt.result.unlink(missing_ok=True)
        with attempt.driver_log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # not the folder that it starts in, whose modules may hide ours
                    "-m",
                    "curator_slurm.launcher.driver.driver",
                    f"--run-dir={attempt.run.root}",
                    f"--attempt-dir={attempt.root}",
                    f"--plan={plan}",
                ],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                umask=umask,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def go(self, address: str) -> None:
        """The cluster is up at `address`: start working."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"go {address}\n".encode())
            self.process.stdin.flush()
        if self._is_command:
            self._hang_up()

    def drain(self, reason: str, until: float) -> None:
        """Begin nothing more, and be over at `until`. The user's own program gets SIGTERM for that, once."""
        if self._is_command:
            if not self.terminated and self.process.poll() is None:
                self.terminated = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGTERM)
            return
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended
            self.process.stdin.write(f"drain {until} {reason}\n".encode())
            self.process.stdin.flush()

    def _hang_up(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n."""
        code = self.process.poll()
        if code is not None:
            self._hang_up()
        return 128 - code if code is not None and code < 0 else code

    def phases(self) -> dict[str, float]:
        """What it has reached, and when: by itself and by its executor."""
        return driver_phases(self.attempt)

    def stop(self, grace_s: float) -> None:
        """SIGTERM to its process group, SIGKILL after `grace_s`."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signum)
                with contextlib.suppress(subprocess.TimeoutExpired):  # not even SIGKILL ends one that waits for storage
                    self.process.wait(grace_s)

    def verdict(self) -> Verdict:
        """What its end means."""
        code = self.exit_code()
        assert code is not None
        try:
            report = read_json(self.attempt.result)
        except (OSError, ValueError):
            report = None
        tail = last_lines(self.attempt.driver_log, 20)
        return judge(code, report if isinstance(report, dict) else None, tail)


@dataclass(frozen=True)
class Verdict:
    """How a driver ended."""

    exit_code: int
    failure_class: FailureClass | None
    message: str
    evidence: tuple[str, ...] = ()
    next_step: str = ""
    drained: bool = False
    """It was told to drain, and has ended in peace before all was done."""
    sources_finished: int | None = None
    sources_left: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.failure_class is None


def judge(code: int, report: Mapping[str, Any] | None, log_tail: list[str]) -> Verdict:
    """Decide from exit code, the driver's own report (driver.json) and the end of its log."""
    if code == 0:
        message = str((report or {}).get("message") or "the driver ended with exit code 0")
        return Verdict(0, None, message)
    if report is not None and report.get("state") == "completed" and code - 128 in _CRASHES:
        name = signal.Signals(code - 128).name
        return Verdict(0, None, f"{report.get('message')} (it crashed with {name} while exiting, its work done)")
    if report is not None and report.get("state") == "completed" and code == _UNFLUSHED:
        return Verdict(0, None, f"{report.get('message')} (its last words could not be written, its work done)")
    if report is not None and report.get("state") == "drained" and code == DRAINED:
        counts = whole(report.get("sources_finished")), whole(report.get("sources_left"))
        return Verdict(code, FailureClass.UNKNOWN, str(report.get("message")), (), "", True, *counts)
    error = (report or {}).get("error")
    if isinstance(error, Mapping):
        evidence = tuple(str(error.get("traceback") or "").rstrip().splitlines()[-20:])
        failure = failure_class_of(error.get("failure_class")) or FailureClass.APP_FAILED
        if failure is FailureClass.APP_FAILED and any(_MEMORY_SIGNS.search(line) for line in evidence):
            failure = FailureClass.OUT_OF_MEMORY
        step = str(error.get("next_step") or "") or (_MEMORY_STEP if failure is FailureClass.OUT_OF_MEMORY else "")
        if failure is FailureClass.APP_FAILED and any(_STORAGE_SIGNS.search(line) for line in evidence):
            failure, step = FailureClass.STORAGE, step or _STORAGE_STEP
        return Verdict(code, failure, str(error.get("message")), evidence, step)
    evidence = tuple(log_tail)
    if any(_MEMORY_SIGNS.search(line) for line in log_tail):
        return Verdict(code, FailureClass.OUT_OF_MEMORY, "the driver ran out of memory", evidence, _MEMORY_STEP)
    if any(_STORAGE_SIGNS.search(line) for line in log_tail):
        message = f"the driver ended with exit code {code} because the storage refused to be written"
        return Verdict(code, FailureClass.STORAGE, message, evidence, _STORAGE_STEP)
    if (signum := signals.of_end(code)) is not None:
        words, step = signals.explained(signum)
        return Verdict(code, FailureClass.APP_FAILED, f"the driver was killed by {words}", evidence, step)
    message, step = f"the driver ended with exit code {code}", _NO_PROGRAM.get(code, "")
    return Verdict(code, FailureClass.APP_FAILED, message, evidence, step)
