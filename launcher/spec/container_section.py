"""The section `environment.container`: the image that the run's software is in, and how it is started."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from curator_slurm.launcher.spec.value_types import EnvName, EnvValue, Line, LineList, Name, Path, Section, as_list


class Runtime(StrEnum):
    """What starts containers on the nodes."""

    AUTO = "auto"
    PYXIS = "pyxis"
    ENROOT = "enroot"
    APPTAINER = "apptainer"
    SINGULARITY = "singularity"
    CHARLIECLOUD = "charliecloud"
    PODMAN = "podman"
    PODMAN_HPC = "podman-hpc"
    SHIFTER = "shifter"
    COMMAND = "command"


def _mount(text: str) -> str:
    """SRC, SRC:DST, or with ro or rw behind; which runtimes have in common."""
    source, *rest = text.split(":")
    if not source or len(rest) > 2 or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
        raise ValueError(f"{text!r} must be a path, or source:target, or source:target:ro")
    if "," in text or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} has a comma or a blank in it, which container runtimes do not take in a mount")
    if rest and not rest[0].startswith("/"):
        raise ValueError(f"{text!r}: the target, inside of the container, must begin with /")
    return text


MountText = Annotated[str, Field(min_length=1), AfterValidator(_mount)]


def plain_image(value: Any) -> Any:
    """A text is the image, and nothing else is said."""
    return {"image": value} if isinstance(value, str) else value


MountList = Annotated[list[MountText], BeforeValidator(as_list)]


class ContainerSpec(Section):
    """The image and how it is started; a plain text is the image."""

    image: Line = Field(
        description="a file (.sif, .sqsh), a folder with a root file system, or a name in a registry such as "
        "nvcr.io/nvidia/nemo-curator:25.09; a relative path begins in the spec's folder, or in the site's folder of "
        "images"
    )
    runtime: Runtime = Field(
        default=Runtime.AUTO, description="what starts it; auto: what the site says, else what the node has"
    )
    mounts: MountList = Field(
        default=[],
        description="folders of the host, as source, source:target or source:target:ro; those of the run, its input "
        "and its output are mounted anyway",
    )
    workdir: Path | None = Field(
        default=None, description="where `environment.setup` begins inside; default: the run directory"
    )
    writable: bool = Field(default=False, description="whether the image's own files can be changed, for this run")
    home: bool = Field(default=False, description="whether your home folder is there, with all that Python finds in it")
    remap_root: bool = Field(default=False, description="be root inside, where the runtime can do that")
    env: dict[EnvName, EnvValue] = Field(
        default={}, description="variables for the runtime itself; those of your program go into `environment.env`"
    )
    name: Name | None = Field(
        default=None, description="name of the container, where the runtime has names; the job's id is put behind it"
    )
    options: LineList = Field(default=[], description="further options of the runtime, one for each entry")
