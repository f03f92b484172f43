"""singularity (https://docs.sylabs.io/guides/latest/user-guide/cli/singularity_exec.html)."""

from __future__ import annotations

from curator_slurm.launcher.environments import apptainer
from curator_slurm.launcher.environments.container import Container, Start

TAKES = apptainer.TAKES
PROGRAM = "singularity"


def start(container: Container) -> Start:
    """The words of apptainer, which was singularity."""
    return apptainer.command(PROGRAM, container)
