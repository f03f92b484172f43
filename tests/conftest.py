"""Fixtures for all tests; each plug-in documents its own."""

import atexit
import os
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # as the launcher sets it: Ray Data keeps no actor for them either
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a test without a cluster would join any that runs here, and end with it

pytest_plugins = ["fake_slurm.fixtures", "hostile", "scratch", "selection", "slurm_cluster.fixtures"]

# No test asserts a time: how long one example takes says what else the machine does.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

_status = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_status] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the destructors of native libraries, where tests have had dozens of Rays in this process.

    Ray's native threads live on after `ray.shutdown`; one that writes into what a destructor has freed ends the process
    with SIGSEGV after all tests have passed (seen once). How a driver exits is tested with drivers of their own. A
    worker of pytest-xdist has sent its results by now.
    """
    if "ray" in sys.modules and _status in config.stash:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_status])
