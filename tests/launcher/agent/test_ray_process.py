"""What is started of Ray on a node, with which environment, and how its agent follows it."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.executors.backends.xenna_env import API_LIMIT
from curator_slurm.executors.ray_internals import SERVICE_PARAMETERS
from curator_slurm.executors.ray_services import wait_until_open
from curator_slurm.executors.runtime_env import NOSET_CUDA
from curator_slurm.launcher.agent.credentials import Credentials
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.ray_process import RayNode, RayProcess, ray_environment, services, start_command
from curator_slurm.launcher.agent.ray_starter import FALLBACK

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


@pytest.fixture
def head() -> RayNode:
    return RayNode("10.1.2.3", PortBlock(20000, 20149), "/tmp/cs-1", cpus=2, gpus=0, memory=1, object_store=1)


def test_a_head_has_what_was_asked_for_and_a_worker_its_address(head: RayNode) -> None:
    ports = head.ports
    plain, full = services(head), services(replace(head, dashboard=Dashboard.FULL))
    assert (plain["dashboard"], plain["agents"], plain["parameters"]["ray_client_server_port"]) == ("off", False, None)
    assert (full["dashboard"], full["agents"]) == ("full", True)
    assert full["parameters"]["ray_client_server_port"] == ports["client_server"]
    assert plain["parameters"]["gcs_server_port"] == ports["gcs"]
    worker = services(replace(head, head_address="10.1.2.4:6379", metrics=True))
    assert worker["parameters"]["gcs_address"] == "10.1.2.4:6379"
    assert (worker["head"], worker["agents"]) == (False, True)
    assert "gcs_server_port" not in worker["parameters"]


def test_every_service_has_the_port_of_the_command_line(head: RayNode) -> None:
    """`ray start` may take its place, and the agent looks for both at the same ports."""
    for node in (replace(head, dashboard=Dashboard.FULL), replace(head, head_address="10.1.2.4:6379")):
        numbers = {word.rpartition("=")[2] for word in start_command(node)}
        found = {str(value) for name, value in services(node)["parameters"].items() if name.endswith("_port")}
        assert found <= numbers


def test_every_parameter_is_one_that_is_checked_before_a_run(head: RayNode) -> None:
    """A Ray that does not take one of them is started by `ray start`, and not with an error."""
    nodes = head, replace(head, head_address="10.1.2.4:6379"), replace(head, dashboard=Dashboard.FULL, group="gpu")
    passed = {name for node in nodes for name in services(node)["parameters"]}
    assert passed == set(SERVICE_PARAMETERS)


def test_it_imports_ray_and_ends_where_no_order_comes(head: RayNode, tmp_path: Path) -> None:
    """As in a job whose head fails its checks: nothing was started, and what was reached is known."""
    process = RayProcess(head, {**os.environ}, tmp_path / "ray.log", 0o077)
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert process.process.wait(120) == 0
    assert list(process.phases()) == ["ray_imported"]
    assert not process.has_started()


def test_what_was_printed_before_a_restart_does_not_count(head: RayNode, tmp_path: Path) -> None:
    output = tmp_path / "ray.log"
    output.write_text("Ray runtime started.\nAll services of Ray are up.\nphase: ray_started 1.5\n")
    process = RayProcess(head, {**os.environ}, output, 0o077)
    assert (process.has_started(), process.is_complete(), process.phases()) == (False, False, {})
    with output.open("a") as stream:
        stream.write(f"{FALLBACK}\nRay runtime started.\n")
    assert (process.has_started(), process.is_complete()) == (True, True)
    process.stop(0.0)


def test_a_port_is_waited_for(unused: int) -> None:
    address = f"127.0.0.1:{unused}"
    assert not wait_until_open(address, 0.0)
    with socket.create_server(("127.0.0.1", unused)):
        assert wait_until_open(address, 60.0)


@pytest.fixture
def unused() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_nodes_of_the_job_are_reached_without_the_proxy() -> None:
    base = {"https_proxy": "http://proxy:1", "no_proxy": "store", "SLURM_JOB_NODELIST": "n[1-2],gpu7"}
    hosts = environment_of(base, xenna=False)["no_proxy"].split(",")
    assert hosts[0] == "store"
    assert {"localhost", "n1", "n2", "gpu7"} <= set(hosts)
    assert "no_proxy" not in environment_of({"SLURM_JOB_NODELIST": "n1"}, xenna=False)
