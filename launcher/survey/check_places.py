"""Paths and templates that a site file names, looked at on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from jinja2 import Environment, TemplateSyntaxError

from curator_slurm import slurm_templates
from curator_slurm.common.addresses import is_address
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.plan.checks import cannot_create
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.survey.findings import SiteFinding, error, warning


def check_places(site: Site, environ: Mapping[str, str]) -> Iterator[SiteFinding]:
    """Everything that this machine must have; what only nodes have cannot be looked at here."""
    software = site.environment
    for key, given in (("python", software.python), ("venv", software.venv), ("conda", software.conda)):
        path = _path(given, environ)
        if path is not None and not path.exists():
            message = f"{path} is not there, on this machine at least: runs without their own software fail"
            yield error(f"environment.{key}", message, "install it there, or name where it is")
    yield from _runs(site, environ)
    for index, bind in enumerate(site.container.binds):
        path = _path(bind.partition(":")[0], environ)
        if path is not None and not path.exists():
            message = f"{path} is not there, on this machine at least"
            yield warning(f"container.binds.{index}", message, "check the path")
    folder = _path(site.templates.folder, environ)
    if folder is not None:
        yield from _templates(folder, site.templates.written_for)


def _path(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """An absolute path with its variables replaced; None for names, and for variables that only jobs have."""
    if not given or is_address(given):
        return None
    text = Template(given).safe_substitute(environ)
    path = Path(text).expanduser() if text.startswith("~") else Path(text)
    return path if path.is_absolute() and "$" not in text else None


def _runs(site: Site, environ: Mapping[str, str]) -> Iterator[SiteFinding]:
    path = _path(site.storage.runs, environ)
    if path is None:
        return
    if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
        message = f"{path} is not writable for {environ.get('USER', 'you')}"
        yield error("storage.runs", message, "check who may write there")
    elif not path.is_dir() and (why := cannot_create(path)):
        yield error("storage.runs", f"{path} cannot be made: {why}", "name a folder in which every user may make one")


def _templates(folder: Path, written_for: str | None) -> Iterator[SiteFinding]:
    """Whether each is one that extends ours, and compiles."""
    try:
        files = sorted(folder.glob("*.j2"))
        if not folder.is_dir():
            raise NotADirectoryError(20, "not a folder", str(folder))
    except OSError as failure:
        yield error("templates.folder", storage_errors.what(failure), "check the path")
        return
    if not files:
        yield warning("templates.folder", f"{folder} has no template (*.j2)", "leave templates.folder out")
    ours = Path(str(slurm_templates.__file__)).parent
    for file in files:
        if not (ours / file.name).exists():
            names = ", ".join(sorted(path.name for path in ours.glob("*.j2") if not path.name.startswith("_")))
            message = f"{file.name} is the name of no template of curator-slurm {__version__}: nothing uses it"
            yield error("templates.folder", message, f"there are: {names}")
        try:
            Environment().parse(file.read_text(encoding="utf-8"), filename=str(file))
        except TemplateSyntaxError as failure:
            message = f"{file}:{failure.lineno} does not compile: {failure.message}"
            yield error("templates.folder", message, "correct the template")
        except (OSError, UnicodeDecodeError) as failure:
            yield error("templates.folder", f"{file}: {failure}", "check the file")
    if files and written_for is not None and written_for != __version__:
        message = f"the templates were written for {written_for}, and this is {__version__}"
        yield warning("templates.written_for", message, "compare them with the new ones, then set written_for")
