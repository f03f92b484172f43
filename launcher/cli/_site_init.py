"""`site init`: asks Slurm and, if wanted, nodes; writes the file."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.cli._terminal import ask, say, say_exactly
from curator_slurm.launcher.errors import StorageError, UsageError
from curator_slurm.launcher.files import expanded
from curator_slurm.launcher.runs.known_folders import default_folder
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers, ask_cluster
from curator_slurm.launcher.survey.draft_site import Written, draft
from curator_slurm.launcher.survey.habit_trials import try_habits
from curator_slurm.launcher.survey.probe_jobs import Probe, run_probes
from curator_slurm.launcher.survey.probe_script import ProbeTarget

ADDRESSES = ("https://pypi.org/", "https://huggingface.co/")
"""What nodes are asked to reach."""


@dataclass(frozen=True)
class FirstFile:
    """The options of the command."""

    output: Path
    probe: bool
    partitions: Sequence[str]
    account: str | None
    wait_s: float
    folder: Path | None
    contact: str | None
    force: bool


def write_first_file(wanted: FirstFile) -> None:
    """Ask, and write."""
    to_stdout = str(wanted.output) == "-"
    if not to_stdout:
        _check_free(wanted.output, force=wanted.force)
    if (wanted.partitions or wanted.folder) and not wanted.probe:
        raise UsageError("--partition and --folder are about probes; add --probe")
    contact = wanted.contact if wanted.contact is not None else _asked_contact()
    slurm = Slurm()
    say("Asking Slurm ...", err=True)
    answers = ask_cluster(slurm)
    trials = try_habits(slurm, answers, wanted.account)
    probes = _probed(slurm, answers, wanted) if wanted.probe else []
    written = Written(
        version=__version__,
        date=time.strftime("%Y-%m-%d"),
        host=platform.node(),
        path="site.yaml" if to_stdout else str(wanted.output),
        contact=contact,
    )
    text = draft(answers, trials, probes, written)
    for probe in probes:
        if probe.failure:
            say(f"Warning: no answer from partition {probe.target.partition}: {probe.failure}", err=True)
    if to_stdout:
        say_exactly(text)
        return
    _check_free(wanted.output, force=wanted.force)  # again: probes take minutes
    _write(wanted.output, text)
    left = text.count("DECIDE:")
    say(
        f"Wrote {wanted.output}: {several(len(answers.partitions), 'partition')}, "
        f"{several(left, 'thing')} to decide (DECIDE). "
        f"Next: curator-slurm site check {wanted.output}"
    )


def _check_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of the file to write, such as {path}/site.yaml")
    if (path.exists() or path.is_symlink()) and not force:
        raise UsageError(f"{path} exists; give another name with --output, or --force to overwrite it")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path.absolute().parent} is not a folder: make it, or give another --output")


def _asked_contact() -> str:
    """Ask at a terminal; nowhere else."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    return " ".join(ask("Who helps users (mail address or page; empty: later)").split())


def _probed(slurm: Slurm, answers: ClusterAnswers, wanted: FirstFile) -> list[Probe]:
    known = {rules.name: rules for rules in answers.partitions}
    for name in wanted.partitions:
        if name not in known:
            raise UsageError(f"--partition {name}: there is no such partition; there are: {', '.join(known)}")
    targets = [
        ProbeTarget(
            partition=name,
            gpus=any(group.gpus for group in answers.of(name)),
            idle=any(group.idle for group in answers.of(name)),
            max_time_s=rules.max_time_s,
        )
        for name, rules in known.items()
        if name in wanted.partitions or (not wanted.partitions and rules.is_up)
    ]
    say(
        f"Probing {several(len(targets), 'partition')}, for at most {wanted.wait_s:.0f} s; Ctrl-C cancels the jobs.",
        err=True,
    )
    folder = expanded(wanted.folder or default_folder(os.environ)).absolute()
    return run_probes(
        targets,
        slurm,
        folder,
        account=wanted.account,
        addresses=ADDRESSES,
        wait_s=wanted.wait_s,
        say=lambda line: say(f"  {line}", err=True),
    )


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
