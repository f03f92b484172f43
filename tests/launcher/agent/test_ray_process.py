"""The environment of `ray start` and the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_slurm.executors.backends.xenna_env import API_LIMIT
from curator_slurm.executors.runtime_env import NOSET_CUDA
from curator_slurm.launcher.agent.credentials import Credentials
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.ray_process import RayNode, ray_environment

LIMITS = ("RAY_MAX_LIMIT_FROM_API_SERVER", "RAY_MAX_LIMIT_FROM_DATA_SOURCE")


def environment_of(base: dict[str, str], *, xenna: bool) -> dict[str, str]:
    node = RayNode("10.1.2.3", PortBlock(20000, 20149), "/tmp/cs-1", cpus=2, gpus=0, memory=1, object_store=1)
    return ray_environment(base, node, Credentials(Path("/secrets/token")), xenna=xenna)


@pytest.mark.parametrize("xenna", [False, True])
def test_cosmos_xenna_can_be_run_by_a_command_too(xenna: bool) -> None:
    environment = environment_of({}, xenna=xenna)
    assert [environment[name] for name in LIMITS] == [API_LIMIT] * 2
    assert environment.get(NOSET_CUDA) == ("1" if xenna else None)  # else every program expects Ray to set the GPUs


def test_a_command_may_have_higher_limits_of_its_own() -> None:
    assert environment_of({LIMITS[0]: "100000"}, xenna=False)[LIMITS[0]] == "100000"
