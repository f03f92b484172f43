"""apptainer, and singularity by its name (https://apptainer.org/docs/user/latest/cli/apptainer_exec.html)."""

from __future__ import annotations

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.container import Container, Mount, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.SIF, ImageKind.SQUASHFS, ImageKind.FOLDER, ImageKind.REGISTRY})
PROGRAM = "apptainer"


def start(container: Container) -> Start:
    """`exec` with a clean environment: what is ours is read from a file inside."""
    return command(PROGRAM, container)


def command(program: str, container: Container) -> Start:
    """The words of either program; they have these options in common."""
    words = [program, "exec", "--cleanenv"]
    if not container.home:
        words.append("--no-home")
    if container.gpus:
        words += container.gpu_options if container.gpu_options is not None else ("--nv",)
    if container.writable:
        words.append("--writable-tmpfs")
    if container.remap_root:
        words.append("--fakeroot")
    for mount in container.mounts:
        words += ["--bind", _bind(mount)]
    image = container.image if images.is_path(container.image) else images.docker_uri(container.image)
    return Start((*words, *container.options, image))


def _bind(mount: Mount) -> str:
    return str(mount)
