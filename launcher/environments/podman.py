"""podman without root (https://docs.podman.io/en/latest/markdown/podman-run.1.html)."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.launcher.environments import images
from curator_slurm.launcher.environments.container import SCRATCH, Container, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.FOLDER, ImageKind.REGISTRY})
PROGRAM = "podman"
_STORE = (f"--root={SCRATCH}/root", f"--runroot={SCRATCH}/run")


def start(container: Container) -> Start:
    """As little of a container as possible: Ray wants the host's network and shared memory, and Slurm counts and ends
    what is in the job's own control group; for that podman demands process ids of its own.

    A folder needs no store of images, and gets one on the node: the usual one, in the home folder, is not for several
    nodes at once. /dev/shm is a volume: --ipc=host would want /dev/mqueue, too, which not every node has.
    """
    is_folder = images.is_path(container.image)
    words = [PROGRAM, *(_STORE if is_folder else ()), "run", "--rm", "--network=host", "--uts=host"]
    words += ["--cgroups=disabled", "--security-opt=label=disable", *_common(container)]
    if container.gpus:
        words += container.gpu_options if container.gpu_options is not None else ("--device=nvidia.com/gpu=all",)
    if is_folder:
        rootfs = f"{container.image}{'' if container.writable else ':O'}"
        words.append("--passwd=false")  # it would be written into the folder, which may belong to somebody else
        return Start((*words, *container.options, "--rootfs", rootfs), scratch=True)
    return Start((*words, *container.options, images.reference(container.image)))


def _common(container: Container, *, of_hpc: bool = False) -> Iterator[str]:
    yield "--entrypoint="
    if not container.remap_root:
        yield "--userns=keep-id"
    if container.job_name:
        yield f"--name={container.job_name}"
    if not container.writable and not images.is_path(container.image):
        yield "--read-only"
    for mount in container.mounts:
        if mount.target == "/dev/shm" and of_hpc:  # comes with --ipc=host
            continue
        yield f"--volume={mount.source}:{mount.target}:{'ro,rbind' if mount.read_only else 'rw,rbind'}"
    if container.home:
        yield "--volume=${HOME}:${HOME}:rw,rbind"


def words_of_hpc(container: Container) -> tuple[str, ...]:
    """What podman-hpc adds nothing to: it makes its own choice of namespaces, but for those that Ray needs."""
    words = ["run", "--rm", "--network=host", "--ipc=host", *_common(container, of_hpc=True)]
    if container.gpus:
        words += container.gpu_options if container.gpu_options is not None else ("--gpu",)
    return (*words, *container.options, images.reference(container.image))
