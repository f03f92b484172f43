"""`site check`: all findings about a file, and the exit code that they have together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.errors import SitePolicyError, SlurmError, SpecError, UsageError
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.site.layers import Layers, load, load_file
from curator_slurm.launcher.slurm import client
from curator_slurm.launcher.survey.ask_cluster import ask_cluster
from curator_slurm.launcher.survey.check_cluster import check_cluster
from curator_slurm.launcher.survey.check_places import check_places
from curator_slurm.launcher.survey.check_site import check_site, left_to_decide
from curator_slurm.launcher.survey.findings import Severity, SiteFinding, error, note


def check_and_exit(path: Path | None, *, offline: bool, strict: bool, as_json: bool) -> None:
    """Print what is found, and end with its exit code."""
    files: list[str] = [str(path)] if path else []
    try:
        layers = load_file(path) if path else load(Path.cwd(), _options.environ())
    except (SpecError, SitePolicyError) as failure:
        found = [SiteFinding(Severity.ERROR, each.key, each.message, "", each.where) for each in failure.problems]
        _report(files, found, as_json=as_json)
        click.get_current_context().exit(failure.exit_code)
    if not layers.layers:
        raise UsageError("there is no site file here; curator-slurm site init writes one")
    files = [str(layer.path) for layer in layers.layers]
    found, code = _findings(layers, offline=offline)
    if strict:
        found = [replace(each, severity=_strict(each.severity)) for each in found]
    _report(files, found, as_json=as_json)
    if any(each.severity is Severity.ERROR for each in found):
        click.get_current_context().exit(code or SpecError.exit_code)


def _strict(severity: Severity) -> Severity:
    return Severity.ERROR if severity is Severity.WARNING else severity


def _findings(layers: Layers, *, offline: bool) -> tuple[list[SiteFinding], int]:
    """All findings, worst first, and the exit code where the file itself is right and Slurm does not answer."""
    site = layers.site()
    assert site is not None
    found = [*check_site(site), *check_places(site, os.environ)]
    code = 0
    if not offline and client.is_available():
        try:
            found += check_cluster(site, ask_cluster(client.Slurm()))
        except SlurmError as failure:
            code = 0 if any(each.severity is Severity.ERROR for each in found) else failure.exit_code
            step = "check again when it answers, or with --offline"
            found.append(error("", f"it could not be compared with the cluster: {failure}", step))
    elif not offline:
        found.append(note("", "it was not compared with the cluster: sbatch is not on this machine's PATH"))
    found = [replace(each, where=each.where or (layers.where(each.key) if each.key else "")) for each in found]
    found += _left(layers)
    order = list(Severity)
    return sorted(found, key=lambda each: (order.index(each.severity), _place(each.where))), code


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return file, whole_number(line) or 0


def _left(layers: Layers) -> Iterator[SiteFinding]:
    """Comments that say what is left to decide."""
    for layer in layers.layers:
        try:
            text = layer.path.read_text(encoding="utf-8-sig")
        except OSError:
            continue
        yield from left_to_decide(text, str(layer.path))


def _report(files: Sequence[str], found: Sequence[SiteFinding], *, as_json: bool) -> None:
    errors = sum(each.severity is Severity.ERROR for each in found)
    warnings = sum(each.severity is Severity.WARNING for each in found)
    if as_json:
        say_json({"valid": not errors, "files": list(files), "findings": [_as_json(each) for each in found]})
        return
    for each in found:
        step = f"; {each.step}" if each.step else ""
        key = f"`{each.key}`: " if each.key and f"`{each.key}`" not in each.message else ""
        where = f"{each.where}: " if each.where else ""
        say(f"{where}{each.severity}: {key}{each.message}{step}")
    counts = f"{words.several(errors, 'error')}, {words.several(warnings, 'warning')}"
    if left := sum(each.message.startswith("left to decide") for each in found):
        counts += f"; {left} to decide: do, and delete the comments"
    say(f"{', '.join(files) or 'site files'}: {counts}")


def _as_json(each: SiteFinding) -> dict[str, Any]:
    return {
        "severity": each.severity.value,
        "key": each.key,
        "where": each.where,
        "message": each.message,
        "next_step": each.step,
    }
