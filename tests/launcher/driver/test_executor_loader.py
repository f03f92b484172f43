"""Executors of a plan, where the Python of the job lacks what they are built on."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from curator_slurm.launcher.driver.executor_loader import load_executor
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.model import Spec


@pytest.fixture
def lacks(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modules that cannot be found."""
    hidden: set[str] = set()
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name in hidden else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    return hidden


def load(backend: str, **environment: Any) -> Any:
    spec = {"name": "x", "pipeline": {"entry": "a:b"}, "executor": {"backend": backend}, "environment": environment}
    return load_executor(Spec.model_validate(spec))


@pytest.mark.parametrize(
    ("backend", "module", "package"), [("xenna", "cosmos_xenna", "cosmos-xenna"), ("ray_data", "pyarrow", "ray[data]")]
)
def test_an_image_without_a_package_is_told_which_and_what_to_do(
    lacks: set[str], backend: str, module: str, package: str
) -> None:
    lacks.add(module)
    with pytest.raises(PipelineLoadError) as caught:
        load(backend, container="/images/x.sif")
    error = caught.value
    assert str(error) == (
        f"executor.backend: {backend} needs {package}, and {sys.executable} in the container has no module {module}"
    )
    assert error.failure_class is FailureClass.ENVIRONMENT
    assert f"add it to the image (pip install '{package}')" in error.next_step
    assert "executor.backend to one that can run there: " in error.next_step
    assert backend not in error.next_step.rpartition(":")[2]


def test_outside_of_a_container_no_image_is_spoken_of(lacks: set[str]) -> None:
    lacks.add("cosmos_xenna")
    with pytest.raises(PipelineLoadError, match=f"{sys.executable} has no module cosmos_xenna") as caught:
        load("xenna")
    assert "add it to that environment" in caught.value.next_step


@pytest.mark.filterwarnings("ignore:RayActorPoolExecutor is experimental")
def test_an_executor_whose_packages_are_there_is_made(lacks: set[str]) -> None:
    lacks.update({"cosmos_xenna", "pyarrow", "pandas"})
    assert type(load("ray_actor_pool")).__name__ == "RayActorPoolExecutor"
