"""Charliecloud (https://hpc.github.io/charliecloud/ch-run.html), as in Debian 12 and later."""

from __future__ import annotations

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.container import Container, Start, is_below
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.SQUASHFS, ImageKind.FOLDER, ImageKind.REGISTRY})
PROGRAM = "ch-run"
SHARED = ("/tmp", "/dev")
"""Folders of the host that every container has, so that they are no mounts; of /tmp, $TMPDIR would be another."""


def start(container: Container) -> Start:
    """An image that is not writable must have the targets of its mounts. Mounts are writable, whatever is asked."""
    words = [PROGRAM, "--unset-env=*"]
    if container.writable:
        words.append("--write")
    if container.remap_root:
        words += ["--uid=0", "--gid=0"]
    for mount in container.mounts:
        if not (mount.source == mount.target and any(is_below(mount.source, each) for each in SHARED)):
            words.append(f"--bind={mount.source}:{mount.target}")
    if container.home:
        words.append("--bind=${HOME}:${HOME}")
    image = container.image if images.is_path(container.image) else images.reference(container.image)
    return Start((*words, *container.own_gpu_options, *container.options, image, "--"), unset=("TMPDIR",))
