"""The `fake_slurm` fixture."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_slurm.handle import FakeSlurm, environment


@pytest.fixture
def fake_slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """Put a fake Slurm of 3 nodes first on PATH, for this process and its children; its jobs die with the test."""
    folder: Path = tmp_path_factory.mktemp("fake_slurm") / "state"
    fake = FakeSlurm(folder)
    wanted = environment(fake, dict(os.environ))
    for name in set(os.environ) - set(wanted):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", wanted["PATH"])
    try:
        yield fake
    finally:
        fake.close()


@pytest.fixture
def asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a run in this process need not spare Slurm."""
    monkeypatch.setattr("curator_slurm.launcher.status.watch.SLURM_INTERVAL_S", 1.0)
