"""podman-hpc, NERSC's wrapper of podman (https://github.com/NERSC/podman-hpc, https://docs.nersc.gov)."""

from __future__ import annotations

from curator_slurm.launcher.environments import podman
from curator_slurm.launcher.environments.container import Container, Start
from curator_slurm.launcher.environments.images import ImageKind

TAKES = frozenset({ImageKind.REGISTRY})
PROGRAM = "podman-hpc"


def start(container: Container) -> Start:
    """An image must have been migrated; the wrapper brings the options of its stores."""
    return Start((PROGRAM, *podman.words_of_hpc(container)))
