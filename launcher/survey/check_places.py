"""Paths and templates that a site file names, looked at on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from curator_slurm.common.addresses import is_address
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.checks import cannot_create
from curator_slurm.launcher.plan.site_part import site_templates
from curator_slurm.launcher.plan.template_overrides import check
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.survey.findings import SiteFinding, error, warning

_NOT_THERE = "is not there"


def check_places(site: Site, environ: Mapping[str, str]) -> Iterator[SiteFinding]:
    """Everything that this machine must have; what only nodes have cannot be looked at here."""
    software = site.environment
    for key, given in (
        ("python", software.python),
        ("venv", software.venv),
        ("conda", software.conda),
        ("uv", software.uv),
    ):
        path = _path(given, environ)
        if path is not None and (why := _missing(path)):
            message = f"{path} {why}, on this machine at least: runs without their own software fail"
            yield error(f"environment.{key}", message, "install it there, or name where it is")
    yield from _runs(site, environ)
    for index, bind in enumerate(site.container.binds):
        path = _path(bind.partition(":")[0], environ)
        if path is not None and (why := _missing(path)):
            message = f"{path} {why}, on this machine at least"
            yield warning(f"container.binds.{index}", message, "check the path")
    folder = _path(site.templates.folder, environ)
    if folder is not None:
        yield from _templates(folder, environ)


def _path(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """An absolute path with its variables replaced; None for names, and for variables that only jobs have."""
    if not given or is_address(given):
        return None
    text = Template(given).safe_substitute(environ)
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        return Path(text)  # of a user that there is not
    return path if path.is_absolute() and "$" not in text else None


def _missing(path: Path) -> str:
    """Why what should be there is not, as the end of a sentence; empty where it is."""
    if not path.is_absolute():
        return "is in the home folder of an unknown user"
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _NOT_THERE
    except OSError as failure:
        return f"cannot be looked at ({storage_errors.what(failure)})"
    return ""


def _runs(site: Site, environ: Mapping[str, str]) -> Iterator[SiteFinding]:
    path = _path(site.storage.runs, environ)
    if path is None:
        return
    why = _missing(path)
    if why and why != _NOT_THERE:
        yield error("storage.runs", f"{path} {why}", "name a folder in which every user may make one")
    elif path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
        message = f"{path} is not writable for {environ.get('USER', 'you')}"
        yield error("storage.runs", message, "check who may write there")
    elif not path.is_dir() and (why := cannot_create(path)):
        yield error("storage.runs", f"{path} cannot be made: {why}", "name a folder in which every user may make one")


def _templates(folder: Path, environ: Mapping[str, str]) -> Iterator[SiteFinding]:
    """Whether each is over one of ours and compiles, and whether the blocks that it replaces are what they were."""
    try:
        templates = site_templates(str(folder), "", environ)
        check(templates)
    except SpecError as failure:
        for problem in failure.problems:
            yield error("templates.folder", str(problem), "correct it: specs are refused here meanwhile")
    else:
        if not templates:
            yield warning("templates.folder", f"{folder} has no template (*.j2)", "leave templates.folder out")
