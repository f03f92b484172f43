"""`curator-slurm doctor` on the real Slurm: sound nodes are said to be sound, and planted faults are found by name.

Faults that do not hide each other are planted together, each on a node of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster
from slurm_cluster.disk import mounted_disk

from on_slurm.planted_faults import HEALTHY_GPU, Faults, clock_ahead, faults, gpu_tool, on_node, other_ray
from on_slurm.runs import SMALL, Runs

SICK_GPU = HEALTHY_GPU.format(1).replace("Disabled, 0", "Disabled, 12")
ONE_BLOCK = [21000, 21149]
"""Ports of which a node of two CPUs takes all."""

planted = pytest.mark.doctor


@pytest.fixture
def plant(slurm_cluster: SlurmCluster) -> Iterator[Faults]:
    with faults(slurm_cluster) as found:
        yield found


@pytest.fixture
def doctor(runs: Runs) -> Callable[..., dict[str, Any]]:
    """`doctor --nodes 3 --json` with the settings of a spec; it leaves nothing behind."""

    def ask(code: int = 6, nodes: int = 3, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        resources = {**SMALL, **spec.pop("resources", {})}
        path = runs.write({"name": "sick", "pipeline": {"command": "true"}, "resources": resources, **spec})
        done = runs.command("doctor", "--nodes", str(nodes), "--spec", str(path), "--json", env=env)
        assert done.returncode == code, done.output
        runs.assert_nothing_left()
        assert not list(runs.runs_dir.glob(".doctor-*"))
        found: dict[str, Any] = done.json
        return found

    return ask


def wrong(report: dict[str, Any], result: str = "failed") -> set[tuple[str, str]]:
    """(check, node) of all that has failed; of what is about no node, the node is empty."""
    checks = [each for each in report["checks"] if each["result"] == result]
    assert all(each["next_step"] for each in checks), checks
    return {(each["name"], node) for each in checks for node in each["nodes"] or [""]}


def words(report: dict[str, Any], name: str) -> str:
    return " ".join(each["message"] for each in report["checks"] if each["name"] == name)


def test_sound_nodes_and_sick_ones(doctor: Callable[..., dict[str, Any]], runs: Runs, plant: Faults) -> None:
    sound = doctor(0, nodes=2)
    assert (sound["healthy"], len(sound["nodes"])) == (True, 2)
    assert wrong(sound) == set()
    plant.little_shared_memory("n3")
    one, two = HEALTHY_GPU.format(0), HEALTHY_GPU.format(1)
    sick = doctor(
        resources={"gpus_per_node": 2},
        environment={
            "setup": [
                on_node(0, f"export PATH={gpu_tool(runs.folder, 'sound', [one, two])}:$PATH"),
                on_node(1, f"export PYTHONPATH={clock_ahead(runs.folder)}"),
                on_node(2, f"export PATH={gpu_tool(runs.folder, 'missing', [one])}:$PATH"),
                on_node(2, f"export PYTHONPATH={other_ray(runs.folder, '2.55.1')}"),
            ]
        },
    )
    assert wrong(sick) == {("shared-memory", "n3"), ("clock", "n2"), ("gpus", "n3"), ("versions", "n3")}
    assert "3,600 s ahead of that of n1" in words(sick, "clock")
    assert "given 2 GPUs, and nvidia-smi sees 1" in words(sick, "gpus")
    assert "ray 2.55.1 here" in words(sick, "versions")


@planted
def test_software_that_differs(doctor: Callable[..., dict[str, Any]], runs: Runs) -> None:
    report = doctor(
        resources={"gpus_per_node": 2},
        environment={
            "setup": [
                on_node(0, "ulimit -n 600; export https_proxy=http://proxy:3128"),
                on_node(1, f"export PYTHONPATH={other_ray(runs.folder, '2.40.0')}"),
                on_node(2, f"export PATH={gpu_tool(runs.folder, 'ill', [HEALTHY_GPU.format(0), SICK_GPU])}:$PATH"),
            ]
        },
    )
    assert wrong(report) == {("ray", "n2"), ("versions", "n2"), ("gpus", "n3")}
    assert {("limits", "n1"), ("proxies", "n1")} <= wrong(report, "warning")
    assert "Ray 2.40.0 has no token authentication" in words(report, "ray")
    assert "GPU 1: 12 uncorrectable ECC errors" in words(report, "gpus")


@planted
def test_nodes_without_the_software(
    doctor: Callable[..., dict[str, Any]], runs: Runs, plant: Faults, slurm_cluster: SlurmCluster
) -> None:
    plant.profile("module() { [[ $(hostname -s) != n3 ]]; }")
    for node in ("n1", "n3"):
        plant.folder_of_the_node(node, "/var/tmp/software")
        python = slurm_cluster.run(["python", "-c", "import sys; print(sys.executable)"]).stdout.strip()
        plant.on(node, "sh", "-c", f"printf '#!/bin/sh\\nexec {python} \"$@\"\\n' >/var/tmp/software/python")
        plant.on(node, "chmod", "755", "/var/tmp/software/python")
    report = doctor(environment={"modules": ["cuda/12.4"], "python": "/var/tmp/software/python"})
    assert wrong(report) == {("software", "n2"), ("modules", "n3")}
    assert "the Python interpreter /var/tmp/software/python is missing" in words(report, "software")
    assert "module load cuda/12.4 failed" in words(report, "modules")
    assert not list(runs.runs_dir.glob("*"))


@planted
def test_storage_that_one_node_does_not_mount(
    doctor: Callable[..., dict[str, Any]], runs: Runs, plant: Faults, slurm_cluster: SlurmCluster
) -> None:
    runs.runs_dir.mkdir()
    slurm_cluster.run(["chown", "alice:", str(runs.runs_dir)], user=None, check=True)
    (runs.folder / "data").mkdir(mode=0o755)
    (runs.folder / "data" / "part.jsonl").write_text("{}\n")
    plant.hidden_folder("n3", runs.runs_dir)
    plant.hidden_folder("n2", runs.folder / "data")
    plant.folder_of_the_node("n2", "/var/tmp/local")
    report = doctor(input={"paths": [str(runs.folder / "data" / "*.jsonl")]}, storage={"node_local": "/var/tmp/local"})
    assert wrong(report) == {("shared-storage", "n3"), ("paths", "n2"), ("node-local", "n1")}
    assert f"does not see {runs.runs_dir}" in words(report, "shared-storage")
    assert "part" not in words(report, "paths")
    assert "no files match" in words(report, "paths")


@planted
def test_a_runs_folder_of_this_machine_alone(doctor: Callable[..., dict[str, Any]], plant: Faults) -> None:
    plant.folder_of_the_node("login", "/var/tmp/runs")
    report = doctor(nodes=2, env={"CURATOR_SLURM_RUNS": "/var/tmp/runs"})
    assert wrong(report) == {("job", "")}
    assert "does not see the runs folder" in words(report, "job")


@planted
def test_a_runs_folder_that_is_nearly_full(
    doctor: Callable[..., dict[str, Any]], runs: Runs, slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    runs.runs_dir.mkdir()
    with mounted_disk(slurm_cluster, runs.runs_dir, tmp_path / "disk.img"):
        slurm_cluster.run(["chown", "alice:", str(runs.runs_dir)], user=None, check=True)
        report = doctor(nodes=2)
    assert wrong(report) == {("free-space", ""), ("free-space", "n1"), ("free-space", "n2")}


@planted
def test_interfaces(doctor: Callable[..., dict[str, Any]], plant: Faults) -> None:
    plant.private_interface("n1", "fast0", "10.199.0.1")
    plant.private_interface("n2", "fast0", "10.199.0.2")
    report = doctor(network={"interface": ["fast0"]})
    assert {("address", "n3"), ("reachability", "n1"), ("reachability", "n2")} <= wrong(report)
    assert "no address for Ray on n3: network.interface is fast0" in words(report, "address")
    assert "n1 does not reach n2 at 10.199.0.2" in words(report, "reachability")


@planted
def test_ports(doctor: Callable[..., dict[str, Any]], plant: Faults) -> None:
    plant.firewall("n2", "21140-21149")
    plant.taken_port("n3", 21020)
    report = doctor(network={"port_range": ONE_BLOCK})
    assert wrong(report) == {("reachability", "n2"), ("ports", "n3")}
    assert "n2 does not reach ports 21148 of n1" in words(report, "reachability")
    assert "no free ports in network.port_range 21000-21149" in words(report, "ports")


@planted
def test_a_job_that_slurm_refuses(doctor: Callable[..., dict[str, Any]]) -> None:
    report = doctor(resources={"partition": "nosuch"})
    assert wrong(report) == {("job", "")}
    assert "nosuch" in words(report, "job") or "invalid partition" in words(report, "job")
