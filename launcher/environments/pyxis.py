"""pyxis: a plugin of Slurm's, with options of srun (https://github.com/NVIDIA/pyxis#usage)."""

from __future__ import annotations

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.container import Container, Mount, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.SQUASHFS, ImageKind.REGISTRY})
PROGRAM = None


def start(container: Container) -> Start:
    """Options of srun. The container goes with the step; GPUs come by enroot's hooks."""
    image = container.image if images.is_path(container.image) else images.enroot_uri(container.image)
    words = [f"--container-image={image}"]
    if container.mounts:
        words.append(f"--container-mounts={','.join(map(_mount, container.mounts))}")
    words += [
        "--container-mount-home" if container.home else "--no-container-mount-home",
        "--container-remap-root" if container.remap_root else "--no-container-remap-root",
        "--container-writable" if container.writable else "--container-readonly",
        "--no-container-entrypoint",
    ]
    if container.job_name:
        words.append(f"--container-name={container.job_name}")
    return Start((*words, *container.own_gpu_options, *container.options), on_srun=True)


def _mount(mount: Mount) -> str:
    return str(mount)
