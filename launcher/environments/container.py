"""A container as all runtimes understand it, and what a runtime makes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCRATCH = "${CURATOR_SLURM_CONTAINER_DIR}"
"""A folder on the node that is removed when the container has ended."""
NODE_VARIABLE = re.compile(r"\$\{(SLURM_[A-Z0-9_]+|HOME|CURATOR_SLURM_CONTAINER_DIR)\}")
"""What stays in a word until the node knows it."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, and where it is inside."""

    source: str
    target: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Mount:
        """What `environment.container.mounts` has in an entry: source[:target[:ro]]."""
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        return cls(source, target or source, mode == "ro")

    def shows(self, path: str) -> bool:
        """Whether a path of the host is there inside, by the same name."""
        return self.source == self.target and is_below(path, self.source)

    def __str__(self) -> str:
        return ":".join([self.source, self.target, *(["ro"] if self.read_only else [])])


@dataclass(frozen=True)
class Container:
    """What is to be started; all paths are absolute."""

    image: str
    mounts: tuple[Mount, ...] = ()
    writable: bool = False
    home: bool = False
    remap_root: bool = False
    name: str | None = None
    gpus: bool = False
    gpu_options: tuple[str, ...] | None = None
    """What the site gives to the runtime for GPUs; None: what is usual for it."""
    options: tuple[str, ...] = ()
    template: tuple[str, ...] = ()
    """The site's words, for a runtime that only it knows."""
    on_srun: bool = False
    """Whether these are options of srun."""

    @property
    def own_gpu_options(self) -> tuple[str, ...]:
        """What the site gives for GPUs, to a runtime that finds them by itself."""
        return self.gpu_options or () if self.gpus else ()

    @property
    def job_name(self) -> str | None:
        """The name, which no other job has."""
        return f"{self.name}-${{SLURM_JOB_ID}}" if self.name else None


@dataclass(frozen=True)
class Start:
    """How a runtime starts a container: options of srun, or the words before the command that runs inside."""

    words: tuple[str, ...]
    on_srun: bool = False
    unset: tuple[str, ...] = ()
    """Variables that would change what the runtime does."""
    scratch: bool = False
    """Whether the words have SCRATCH in them."""


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
