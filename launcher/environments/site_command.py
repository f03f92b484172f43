"""A runtime that only the site knows: its own words, on srun or before the command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curator_slurm.launcher.environments.container import Container, Mount, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset(ImageKind)
PROGRAM = None
_PLACE = re.compile(r"\{(image|name|mount|source|target|mode)\}")


def start(container: Container) -> Start:
    """The template with its placeholders filled in. A word with {mount}, {source} or {target} is repeated for every
    mount; one that has only {name} is left out where the container has none."""
    words = [each for word in container.template for each in _filled(word, container)]
    extra = (container.gpu_options or ()) if container.gpus else ()
    return Start((*words, *extra, *container.options), on_srun=container.on_srun)


def takes_mounts(template: tuple[str, ...]) -> bool:
    """Whether the words have a place for mounts."""
    return any(re.search(r"\{(mount|source|target)\}", word) for word in template)


def unknown_places(template: tuple[str, ...]) -> list[str]:
    """Words in braces that stand for nothing."""
    return [each for word in template for each in re.findall(r"(?<!\$)\{[^{}]*\}", word) if not _PLACE.fullmatch(each)]


def _filled(word: str, container: Container) -> Iterator[str]:
    if "{name}" in word and container.job_name is None:
        return
    mounts: tuple[Mount | None, ...] = container.mounts if takes_mounts((word,)) else (None,)
    for mount in mounts:
        values = {"image": container.image, "name": container.job_name or ""}
        if mount is not None:
            mode = "ro" if mount.read_only else "rw"
            values |= {"mount": str(mount), "source": mount.source, "target": mount.target, "mode": mode}
        yield _PLACE.sub(lambda match, known=values: known.get(match[1], match[0]), word)  # type: ignore[misc]
