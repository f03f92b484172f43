"""The end of an agent waits for storage that takes no writes, but not for ever."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from curator_slurm.launcher.agent import leaving


def test_it_goes_on_as_soon_as_storage_takes_writes(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            folder.mkdir()
        return False

    leaving.wait_for_storage(folder, pause)
    assert len(pauses) == 3
    assert list(folder.iterdir()) == []
    leaving.wait_for_storage(folder, pause)
    assert len(pauses) == 3


@pytest.mark.parametrize("limit_s", [0.0, 1e9])
def test_it_ends_when_its_time_is_over_or_a_signal_comes(
    tmp_path: Path, limit_s: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(leaving.os, "fsync", full)
    with caplog.at_level(logging.WARNING, logger="curator_slurm.agent"):
        leaving.wait_for_storage(tmp_path, lambda _: limit_s > 0, limit_s)
    assert "takes no writes" in caplog.text
    assert list(tmp_path.iterdir()) == []
