"""enroot without pyxis (https://github.com/NVIDIA/enroot/blob/master/doc/cmd/start.md)."""

from __future__ import annotations

from curator_slurm.launcher.environments.container import Container, Mount, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.SQUASHFS})
PROGRAM = "enroot"


def start(container: Container) -> Start:
    """The image is started as it is, without being unpacked; GPUs come by its hooks."""
    words = ["enroot", "start"]
    if container.remap_root:
        words.append("--root")
    if container.writable:
        words.append("--rw")
    for mount in container.mounts:
        words += ["--mount", _fstab(mount)]
    if container.home:
        words += ["--mount", "${HOME}:${HOME}:none:x-create=auto,rbind"]
    return Start((*words, *container.own_gpu_options, *container.options, container.image))


def _fstab(mount: Mount) -> str:
    """A line of fstab with colons."""
    return f"{mount.source}:{mount.target}:none:x-create=auto,rbind{',ro' if mount.read_only else ''}"
