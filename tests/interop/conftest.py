"""Tests with NeMo Curator; they run in a venv of their own, `make test-curator`, and are not collected elsewhere."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
collect_ignore_glob = [] if importlib.util.find_spec("nemo_curator") else ["test_*.py"]
sys.path += [str(HERE), str(HERE.parent / "executors")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    from xenna_ray import start_ray

    paths = os.pathsep.join([str(HERE), str(HERE.parent / "executors")])
    with start_ray(cpus=11, env={"PYTHONPATH": paths}) as ray:
        yield ray


@pytest.fixture(scope="session")
def careless() -> Iterator[object]:
    """For NeMo Curator's own executors: the workers of its Xenna outlive its runs."""
    from xenna_ray import start_ray

    with start_ray(cpus=11, env={"PYTHONPATH": str(HERE)}, tidy=False) as ray:
        yield ray


@pytest.fixture
def connected(cluster: object, monkeypatch: pytest.MonkeyPatch) -> object:
    return connect(cluster, monkeypatch)


@pytest.fixture
def untidy(careless: object, monkeypatch: pytest.MonkeyPatch) -> object:
    return connect(careless, monkeypatch)


def connect(cluster: object, monkeypatch: pytest.MonkeyPatch) -> object:
    for name, value in cluster.env.items():  # type: ignore[attr-defined]
        monkeypatch.setenv(name, value)
    return cluster
