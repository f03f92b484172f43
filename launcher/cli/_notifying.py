"""Telling people of runs (`notify`) from the command line."""

from __future__ import annotations

import json
import os

from curator_slurm.launcher.cli._terminal import say
from curator_slurm.launcher.operations.onlooker import Onlooker
from curator_slurm.launcher.runs.registry import Run


def onlooker_of(run: Run, by: str) -> Onlooker:
    """Who tells of what this command sees; what fails is a warning."""
    return Onlooker(run, os.environ, lambda line: say(f"Warning: {line}", err=True), by)


def settings_of(notify: str | None) -> tuple[str, ...]:
    """`--notify HOW` as settings of the spec: ${env:NAME} or file:PATH is a webhook, anything else a command."""
    if notify is None:
        return ()
    if notify.startswith("file:"):
        return (f"notify.webhook={json.dumps(notify.removeprefix('file:'))}",)
    key = "webhook" if notify.startswith("${env:") and notify.endswith("}") else "command"
    return (f"notify.{key}={json.dumps(notify)}",)
