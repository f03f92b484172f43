"""pytest plug-in: which tests run together in one worker of pytest-xdist, in which order, and as which user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

SLOWEST_FIRST = ("slurm", "ray")
"""Kinds of tests by their markers, in the order in which workers take them; the plain ones fill the gaps at the end."""
LONG = (
    "tests/launcher/operations/test_fake_chaos.py",
    "tests/launcher/agent/test_elements.py",
    "tests/launcher/operations/test_crashes.py",
    "tests/test_ordinary_user.py",
    "tests/launcher/cli/test_cli_runs.py",
    "tests/launcher/agent/test_end_of_agent.py",
    "tests/launcher/operations/test_retry_run.py",
    "tests/launcher/api/test_api_job.py",
)
"""Plain modules that take longest: before all others, or a single worker is busy with one of them in the end."""
ON_ONE_SLURM = ("tests/slurm_cluster/", "tests/on_slurm/")
CLUSTER_OF_THEIR_OWN = ("test_arrays_on_slurm.py", "test_failures_on_slurm.py", "test_scale.py", "test_chaos.py")
BESIDE = (
    "test_dashboard_on_slurm.py",
    "test_notices_on_slurm.py",
    "test_restarts_on_slurm.py",
    "test_staging_on_slurm.py",
)
"""On a second Slurm, which these share: on one for all, a single worker is busy with it alone in the end."""
ON_TWO_CPUS = (
    "tests/executors/adapter/test_joined_batches.py",
    "tests/executors/backends/test_backends.py",
    "tests/executors/backends/test_changed_internals.py",
    "tests/executors/backends/test_backends_draining.py",
    "tests/executors/backends/xenna/engine/test_xenna_orphans.py",
    "tests/executors/backends/xenna/test_xenna.py",
    "tests/executors/resume/test_killed_drivers.py",
    "tests/executors/stages/io/test_id_generator.py",
)
WITH_NODES = (
    "tests/executors/backends/test_failure_matrix.py",
    "tests/executors/backends/test_last_node.py",
    "tests/executors/backends/test_node_groups.py",
)
SHARED_RAYS = {"two_cpus": ON_TWO_CPUS, "nodes_beside_a_head": WITH_NODES}
"""Modules on a Ray of the session, by its fixture in `tests/executors/conftest.py`."""
LONGEST = (*ON_TWO_CPUS, *WITH_NODES)
"""What takes longest of all: workers begin with it, or are busy with it alone in the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _refuse_addresses(items)
    _leave_to_ordinary_users(config, items)
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _refuse_addresses(items: list[pytest.Item]) -> None:
    """Workers compare what they have collected: an object without a `repr` of its own has another name in each."""
    for item in items:
        if " object at 0x" in item.nodeid:
            raise pytest.UsageError(f"the name of a test has an address of memory in it: {item.nodeid}")


def _leave_to_ordinary_users(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Root meets no permission denied: `test_ordinary_user.py` runs these tests as somebody else."""
    if os.geteuid() != 0:
        return
    left = [item for item in items if item.get_closest_marker("ordinary_user")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _rank(item: pytest.Item) -> float:
    module = item.nodeid.partition("::")[0]
    if module in LONGEST:
        return -1
    kinds = [number for number, marker in enumerate(SLOWEST_FIRST) if item.get_closest_marker(marker)]
    if kinds:
        return min(kinds)
    return len(SLOWEST_FIRST) - (1 - LONG.index(module) / len(LONG) if module in LONG else 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """A worker takes a whole module, with what its tests share, or all tests that share a Slurm or a Ray."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def group_of(nodeid: str) -> str:
    """Tests that one worker runs, one after the other."""
    module = nodeid.partition("::")[0]
    if module.startswith(ON_ONE_SLURM) and not module.endswith(CLUSTER_OF_THEIR_OWN):
        return "slurm beside" if module.endswith(BESIDE) else "slurm"
    return next((ray for ray, modules in SHARED_RAYS.items() if module in modules), module)
