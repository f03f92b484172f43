"""The section of a spec about the software on the nodes."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from curator_slurm.launcher.spec.container_section import ContainerSpec, plain_image
from curator_slurm.launcher.spec.ulimits import Ulimits
from curator_slurm.launcher.spec.value_types import (
    BashList,
    EnvName,
    EnvNameList,
    EnvValue,
    LineList,
    OrPlain,
    Path,
    Section,
    Size,
    Whole,
    problem,
)

MAX_VARIABLE = 131_072
"""Bytes that Linux takes in one variable, with its name, `=` and the end."""


class Stage(StrEnum):
    """Where the software of a run is on its nodes."""

    SHARED = "shared"
    NODE_LOCAL = "node_local"


class EnvironmentSpec(Section):
    """The software on the nodes: at most one of `python`, `venv`, `conda` and `uv`; default: the submitter's Python, or
    with `container` that of the image."""

    container: Annotated[ContainerSpec | None, BeforeValidator(plain_image), OrPlain({"type": "string"})] = Field(
        default=None,
        description="an image that the run's software is in: its name or path, or a section with `image`; nothing of "
        "curator-slurm needs to be in it",
    )
    python: Path | None = Field(
        default=None, description="an interpreter that has curator-slurm installed; with `container` one of the image"
    )
    venv: Path | None = Field(default=None, description="a virtual environment")
    conda: Path | None = Field(default=None, description="name or prefix of a conda environment")
    uv: Path | None = Field(
        default=None, description="folder of a project of uv, with pyproject.toml, uv.lock and .venv: its environment"
    )
    modules: LineList = Field(default=[], description="environment modules to load on every node")
    env: dict[EnvName, EnvValue] = Field(default={}, description="environment variables, passed on unchanged")
    secrets: EnvNameList = Field(
        default=[],
        description="environment variables to pass on from your shell, by name; no values are in script or plan",
    )
    setup: BashList = Field(
        default=[],
        description="bash commands to run on every node before the agent starts; if one fails, the run fails",
    )
    stage: Stage = Field(
        default=Stage.SHARED,
        description="node_local: the environment is packed once, and unpacked on every node to storage.node_local; "
        "shared: it is used where it is",
    )
    stage_paths: LineList = Field(
        default=[], description="with stage: folders of models or data on shared storage that go to the nodes, too"
    )
    stage_size: Size = Field(
        default="100G", description="how much a node keeps of what was staged there, for all runs of a user"
    )
    stage_days: Whole = Field(
        default=14, ge=0, description="days after which what no run has used goes; 0: at the end of the run"
    )
    ulimits: Ulimits = Field(
        default={},
        description="limits of processes: nofile, nproc and cpu are numbers; stack, memlock, core, fsize, data and as "
        "are sizes; or unlimited",
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> EnvironmentSpec:
        given = [key for key in ("python", "venv", "conda", "uv") if getattr(self, key) is not None]
        if len(given) > 1:
            raise problem(
                f"`environment` takes one of python, venv, conda and uv; {' and '.join(given)} are set",
                *(f"environment.{key}" for key in reversed(given)),
            )
        if self.uv is not None and self.container is not None:
            raise problem(
                "`environment.uv` is an environment of the host, and `environment.container` brings its own; name an "
                "interpreter of the image with `environment.python`",
                "environment.uv",
            )
        both = sorted(set(self.env) & set(self.secrets))
        if both:
            raise problem(
                f"{' and '.join(both)} must be in `environment.env` or in `environment.secrets`, not in both",
                f"environment.env.{both[0]}",
            )
        return self

    @model_validator(mode="after")
    def _no_giants(self) -> EnvironmentSpec:
        for name, value in self.env.items():
            size = len(os.fsencode(f"{name}={value}\0"))
            if size > MAX_VARIABLE:
                raise problem(
                    f"`environment.env.{name}` takes {size:,} bytes, and Linux passes at most {MAX_VARIABLE:,} in one "
                    "variable; put the value into a file on shared storage, and its path here",
                    f"environment.env.{name}",
                )
        return self
