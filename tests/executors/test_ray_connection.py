"""The private Ray that an executor starts: what others on the machine get from it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.executors import ray_connection

METRICS, PRESTART = "RAY_enable_metrics_collection", "RAY_prestart_worker_first_driver"
VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", METRICS, "DASHBOARD_METRIC_PORT", PRESTART)


class Recorded:
    """Stands for the ray module: keeps the environment that a Ray would be started in."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.token_mode = 0

    def init(self, **_arguments: Any) -> None:
        self.environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        if "RAY_AUTH_TOKEN_PATH" in self.environment:
            self.token_mode = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).stat().st_mode & 0o777


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return Recorded()


def start(recorded: Recorded) -> dict[str, str]:
    with contextlib.ExitStack() as stack:
        ray_connection._start_private(recorded, stack, None, 1)
    assert not any(name in os.environ for name in recorded.environment if name not in (METRICS, PRESTART))
    return recorded.environment


def test_it_has_a_token_of_its_own_and_no_metrics(recorded: Recorded) -> None:
    environment = start(recorded)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert recorded.token_mode == 0o600
    assert environment[METRICS] == "0"
    assert int(environment["DASHBOARD_METRIC_PORT"]) > 65535


def test_it_starts_no_worker_for_each_cpu_before_there_is_work(recorded: Recorded) -> None:
    assert start(recorded)[PRESTART] == "0"


@pytest.mark.parametrize("name", [METRICS, PRESTART])
def test_whoever_wants_them_sets_ray_s_variable(name: str, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert start(recorded)[name] == "1"


def test_a_connection_names_no_dashboard_and_leaves_sigterm_alone(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray prints an address that only the first node can open, and takes SIGTERM for itself."""
    logger = logging.getLogger(Recorded.init.__module__)
    before = signal.getsignal(signal.SIGTERM)
    with caplog.at_level(logging.INFO), ray_connection._quietly(recorded):
        logger.info("Connected to Ray cluster. View the dashboard at %s", "http://127.0.0.1:8265")
        logger.info("Connecting to existing Ray cluster")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert caplog.messages == ["Connecting to existing Ray cluster"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert not logger.filters
