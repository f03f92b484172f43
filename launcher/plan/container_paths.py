"""Paths of this machine that a spec names, and that a container has only where a mount shows them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator

from curator_slurm.launcher.environments import charliecloud
from curator_slurm.launcher.environments.container import Mount, is_below
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.nested_texts import nested_texts

_OF_IMAGES = ("/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run", "/var")
"""Folders whose names a host and an image both have: a path in them may mean the image's."""


def named_paths(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, path) where the command, or a value of the pipeline or of a variable, is a path that is here."""
    spec = plan.spec
    for key, path in nested_texts("pipeline.args", spec.pipeline.args):
        yield from _here(key, path)
    for index, stage in enumerate(spec.pipeline.stages or ()):
        for key, path in nested_texts(f"pipeline.stages.{index}.with", stage.with_):
            yield from _here(key, path)
    for name, value in spec.environment.env.items():
        for part in str(value).split(":"):  # PYTHONPATH and the like
            yield from _here(f"environment.env.{name}", part)
    for word in _words(spec.pipeline.command):
        value = word.partition("=")[2] if word.startswith("-") else word
        yield from _here("pipeline.command", value)
        if os.path.isfile(path := os.path.join(plan.spec_dir, value)) and not value.startswith("/"):  # noqa: PTH113, PTH118
            yield "pipeline.command", path


def without_place(image: str, mounts: Iterable[Mount]) -> Iterator[str]:
    """Targets of mounts that a folder on this machine does not have, for a runtime that makes none in it."""
    if not os.access(image, os.R_OK | os.X_OK):
        return
    targets = [mount.target for mount in mounts]
    for mount in mounts:
        outer = (*charliecloud.SHARED, *(each for each in targets if each != mount.target))
        is_there = "${" in mount.target or any(is_below(mount.target, each) for each in outer)
        if not is_there and not os.path.exists(f"{image}/{mount.target}"):  # noqa: PTH110 (any text)
            yield mount.target


def _here(key: str, text: str) -> Iterator[tuple[str, str]]:
    """An absolute path that is here, and can only be the host's."""
    is_path = text.startswith("/") and text.count("/") > 1
    if is_path and not _may_be_of_image(text) and os.path.exists(text):  # noqa: PTH110 (any text)
        yield key, text.rstrip("/")


def _words(command: str | list[str] | None) -> list[str]:
    """The words of a command; of a program or a script in it, none."""
    if isinstance(command, str):
        try:
            command = shlex.split(command, comments=True)
        except ValueError:
            return []
    return [word for word in command or () if word and not any(character.isspace() for character in word)]


def _may_be_of_image(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in _OF_IMAGES)
