"""What `submit` and `run` share: from their options to a submitted run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._steps import open_steps
from curator_slurm.launcher.cli._terminal import say, say_exactly, say_json
from curator_slurm.launcher.operations.submit import (
    ClusterChoice,
    Prepared,
    Submitted,
    choose_cluster,
    prepare,
    show_command,
    submit,
)
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.sharding.plan_shards import collector_off


@dataclass(frozen=True)
class SubmitRequest:
    """What the user asked for."""

    spec_path: Path
    overrides: tuple[str, ...]
    cluster: str
    imports: bool = True
    """Whether the pipeline is looked at."""


@dataclass(frozen=True)
class SubmittedRun:
    """The run that was submitted."""

    choice: ClusterChoice
    submitted: Submitted

    @property
    def run(self) -> Run:
        return self.submitted.run

    @property
    def job_id(self) -> str:
        return self.submitted.job_id

    @property
    def where(self) -> str:
        """Where it runs and why, in words."""
        place = "Slurm" if self.choice.cluster == "slurm" else "this machine, without Slurm"
        return f"{place}: {self.choice.reason}"

    def details(self) -> dict[str, Any]:
        """What `submit --json` prints."""
        return {
            "run_id": self.run.run_id,
            "name": self.run.name,
            "job_id": self.job_id,
            "job_ids": list(self.submitted.job_ids),
            "shards": self.run.record.shards if self.run.record and self.run.record.array else None,
            "problem": self.submitted.problem or None,
            "cluster": self.choice.cluster.value,
            "reason": self.choice.reason,
            "run_dir": str(self.run.paths.root),
            "ignored_variables": list(self.submitted.removed_variables),
        }


def submit_request(request: SubmitRequest, *, feeds: bool = False) -> SubmittedRun:
    """Check and submit; what was not passed on to sbatch is printed on stderr. `feeds`: the caller submits the rest."""
    choice = choose_cluster(request.cluster)
    steps = open_steps()
    with collector_off():
        try:
            prepared = _prepared(request, choice, steps.show)
        finally:
            steps.close()
        submitted = submit(prepared, os.environ, feeds=feeds)
        del prepared  # before the collector looks at it
    for note in submitted.notes:
        say(f"Note: {note}", err=True)
    if options := [name for name in submitted.removed_variables if name.startswith("SBATCH_")]:
        say(f"Not passed on to sbatch: {', '.join(options)} (set such options in the spec)", err=True)
    return SubmittedRun(choice, submitted)


def _prepared(
    request: SubmitRequest, choice: ClusterChoice, progress: Callable[[str, int, int | None], None] = lambda *_: None
) -> Prepared:
    return prepare(
        request.spec_path,
        request.overrides,
        choice.cluster,
        _options.environ(),
        progress,
        imports=request.imports,
    )


def show_dry_run(request: SubmitRequest, *, as_json: bool) -> None:
    """Print the script and the command that would submit it, and where the run would go."""
    choice = choose_cluster(request.cluster)
    prepared = _prepared(request, choice)
    command = show_command(prepared.command)
    for warning in prepared.warnings:
        say(f"Note: {warning}", err=True)
    if as_json:
        say_json(
            {
                "cluster": choice.cluster.value,
                "reason": choice.reason,
                "name": prepared.plan.spec.name,
                "runs_dir": str(prepared.folder),
                "command": prepared.command,
                "shards": len(prepared.shards.shards) if prepared.plan.array else None,
                "script": prepared.script,
            }
        )
        return
    say(f"Nothing is submitted. It would go to {choice.cluster.value} ({choice.reason}) with the command", err=True)
    say(f"  {command}", err=True)
    if prepared.plan.array:
        count = words.several(len(prepared.shards.shards), "shard")
        local = choice.cluster is Cluster.LOCAL
        say(f"for {count}, one after the other" if local else f"and --array, for {count}", err=True)
    say("where job.sbatch is\n", err=True)
    say_exactly(prepared.script)
