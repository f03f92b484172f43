"""Which runtime starts a container: what was asked for, what the site has, what fits the image."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from curator_slurm.launcher.environments import (
    apptainer,
    charliecloud,
    enroot,
    podman,
    podman_hpc,
    pyxis,
    shifter,
    singularity,
    site_command,
)
from curator_slurm.launcher.environments.container import Container, Start
from curator_slurm.launcher.environments.images import ImageKind, kind_of
from curator_slurm.launcher.spec.container_section import Runtime

_MODULES: dict[Runtime, ModuleType] = {
    Runtime.PYXIS: pyxis,
    Runtime.ENROOT: enroot,
    Runtime.APPTAINER: apptainer,
    Runtime.SINGULARITY: singularity,
    Runtime.CHARLIECLOUD: charliecloud,
    Runtime.PODMAN: podman,
    Runtime.PODMAN_HPC: podman_hpc,
    Runtime.SHIFTER: shifter,
    Runtime.COMMAND: site_command,
}
ALL = tuple(_MODULES)
ON_NODES = (
    Runtime.APPTAINER,
    Runtime.SINGULARITY,
    Runtime.PODMAN_HPC,
    Runtime.ENROOT,
    Runtime.CHARLIECLOUD,
    Runtime.PODMAN,
    Runtime.SHIFTER,
)
"""What is looked for on a node, in this order, where nobody has said what there is."""


def start(runtime: Runtime, container: Container) -> Start:
    """How this runtime starts it."""
    started: Start = _MODULES[runtime].start(container)
    return started


def program(runtime: Runtime) -> str | None:
    """The program that a node has if it has this runtime; None where that is no program of its own."""
    found: str | None = _MODULES[runtime].PROGRAM
    return found


def takes(runtime: Runtime, image: str) -> bool:
    """Whether it can start an image of this form."""
    kinds: frozenset[ImageKind] = _MODULES[runtime].TAKES
    return kind_of(image) in kinds


def known(names: Sequence[str]) -> list[Runtime]:
    """Those of a site's runtimes that we can start, in its order."""
    values = {runtime.value: runtime for runtime in Runtime if runtime is not Runtime.AUTO}
    return [values[name] for name in names if name in values]


def candidates(wanted: Runtime, of_site: Sequence[Runtime], image: str) -> list[Runtime]:
    """The runtimes to try, in this order: what was asked for, else what the site has, else what a node may have."""
    if wanted is not Runtime.AUTO:
        return [wanted]
    if of_site:
        return [next((each for each in of_site if takes(each, image)), of_site[0])]
    return [each for each in (Runtime.PYXIS, *ON_NODES) if takes(each, image)]
