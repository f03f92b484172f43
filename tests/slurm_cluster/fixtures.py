"""pytest fixtures for tests marked `slurm`: one cluster for the whole session, booted when first needed."""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_cluster import requirements
from slurm_cluster.api import SlurmCluster, this_session
from slurm_cluster.errors import ClusterError, ClusterInUseError
from slurm_cluster.layout import default_directory
from slurm_cluster.options import Options

SESSION_OPTIONS = Options(conf=("KillWait=10", "JobSubmitPlugins=lua"))

_NO_SLURM = "no real Slurm: "

_obstacle_key = pytest.StashKey[str | None]()


def _required() -> bool:
    return os.environ.get("CI") == "true" or os.environ.get("CURATOR_SLURM_REQUIRE_SLURM") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs Slurm where there is none; fail it where that would hide a gap."""
    if not item.get_closest_marker("slurm"):
        return
    stash = item.config.stash
    if _obstacle_key not in stash:
        stash[_obstacle_key] = requirements.obstacle()
    reason = stash[_obstacle_key]
    if reason and _required():
        pytest.fail(f"this test needs a real Slurm; {reason}", pytrace=False)
    if reason:
        pytest.skip(_NO_SLURM + reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested; the workers of pytest-xdist have nothing but their reports to tell it with."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", []) if report.longrepr]
    reasons = [words.partition(_NO_SLURM)[2].rstrip("')") for words in skipped if _NO_SLURM in words]
    if reasons:
        terminalreporter.section("NOT TESTED ON A REAL SLURM", red=True, bold=True)
        terminalreporter.line(f"{len(reasons)} tests were skipped: {reasons[0]}", red=True)


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Boot a Slurm of 3 nodes with 4 CPUs and 2 fake GPUs each, and take it down after the session.

    With `SLURM_CLUSTER_REUSE=1` a cluster started by hand is used, and left running.
    """
    if os.environ.get("SLURM_CLUSTER_REUSE") == "1" and SlurmCluster().in_use:
        cluster = SlurmCluster()
        cluster.heal()
        yield cluster
        return
    cluster = _boot()
    try:
        yield cluster
    finally:
        cluster.down()


def _boot() -> SlurmCluster:
    """Boot in the first directory that no living session uses: two test runs may share a machine."""
    options = replace(SESSION_OPTIONS, accounting=requirements.accounting_is_possible())
    directory = default_directory()
    for candidate in [directory, *(Path(f"{directory}-{n}") for n in range(2, 20))]:
        cluster = SlurmCluster(candidate)
        try:
            cluster.up(options, owner=this_session(), fresh=True)
        except ClusterInUseError:
            continue
        return cluster
    raise ClusterError(f"{directory} and its neighbours are all in use")


@pytest.fixture(autouse=True)
def _healthy_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with the cluster, end its jobs and repair its nodes."""
    yield
    if request.node.get_closest_marker("slurm") and "slurm_cluster" in request.fixturenames:
        request.getfixturevalue("slurm_cluster").heal()


@pytest.fixture
def make_shared_dir(slurm_cluster: SlurmCluster, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Return a function that makes a fresh directory on storage that all nodes see."""

    def make(user: str = slurm_cluster.user, mode: int = 0o755) -> Path:
        name = re.sub(r"\W+", "-", request.node.name)[:40].strip("-")
        directory = slurm_cluster.shared / "tests" / f"{name}-{uuid.uuid4().hex[:6]}"
        directory.mkdir(parents=True)
        os.chown(directory, slurm_cluster.uid(user), slurm_cluster.uid(user))
        directory.chmod(mode)
        return directory

    return make


@pytest.fixture
def shared_dir(make_shared_dir: Callable[..., Path]) -> Path:
    """Make a directory of the submitting user on storage that all nodes see."""
    return make_shared_dir()
