"""Shifter, NERSC's (https://github.com/NERSC/shifter/blob/master/doc/command/shifter.rst)."""

from __future__ import annotations

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.container import Container, Mount, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.REGISTRY})
PROGRAM = "shifter"


def start(container: Container) -> Start:
    """Which folders there are is the site's to say; a volume names one that is not."""
    words = [PROGRAM, f"--image=docker:{images.reference(container.image)}"]
    words += [f"--volume={_volume(mount)}" for mount in container.mounts]
    if container.gpus:
        words += container.gpu_options if container.gpu_options is not None else ("--module=gpu",)
    return Start((*words, *container.options))


def _volume(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"
