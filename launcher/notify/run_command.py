"""Who runs `notify.command`: the batch script of a job, or this process. No command line has any of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.notify.notice import Notice, body_of, script_of
from curator_slurm.launcher.runs.paths import ClusterPaths

RunCommand = Callable[[Notice, str, float], str]
"""Runs a command for a notice within seconds; what went wrong, in words."""


def leave_for_script(cluster: ClusterPaths) -> RunCommand:
    """Commands of a job run in its batch script, which is outside of a container: what it needs is left for it."""

    def leave(notice: Notice, command: str, _timeout_s: float) -> str:
        folder = cluster.notices
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            write_atomic(folder / f"{notice.event}.json", _as_json(notice), 0o600)
            script = folder / f".{notice.event}"
            script.write_text(script_of(notice, command))
            script.rename(folder / f"{notice.event}.sh")
        except OSError as error:
            return storage_errors.what(error)
        return ""

    return leave


def run_here(folder: Path) -> RunCommand:
    """Commands are run by this process; `folder` takes their script, so that no command line has it."""

    def run(notice: Notice, command: str, timeout_s: float) -> str:
        script = folder / f".{os.getpid()}-{notice.event}.sh"
        try:
            script.touch(0o600)
            script.write_text(script_of(notice, command))
            return _run(script, _as_json(notice), timeout_s)
        except OSError as error:
            return storage_errors.what(error)
        finally:
            with contextlib.suppress(OSError):
                script.unlink()

    return run


def _as_json(notice: Notice) -> str:
    """What a command reads: one line."""
    return json.dumps(body_of(notice, {})) + "\n"


def _run(script: Path, text: str, timeout_s: float) -> str:
    with subprocess.Popen(
        ["bash", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(text, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            return f"it was ended after {several(timeout_s, 'second')}"
    if process.returncode:
        last = errors.strip().splitlines()[-1:] or ["it printed nothing"]
        return f"exit code {process.returncode}: {last[0][:300]}"
    return ""
