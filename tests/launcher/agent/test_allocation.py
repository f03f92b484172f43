"""What a node was given, from Slurm's variables and the control group."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from curator_slurm.launcher.agent import allocation
from curator_slurm.launcher.agent.allocation import JOB_MEMORY, MEGABYTE, slurm_allocation
from curator_slurm.launcher.agent.memory import counter_file, smallest_limit
from curator_slurm.launcher.errors import BootstrapError

BASE = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_NODEID": "1", "SLURM_JOB_CPUS_PER_NODE": "4(x3)"}
UNLIMITED = "9223372036854771712\n"


@pytest.fixture
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "machine_memory", lambda: 10**12)


@pytest.mark.usefixtures("no_group")
@pytest.mark.parametrize(
    ("variables", "megabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "4000"}, 4000),
        ({"SLURM_MEM_PER_CPU": "150"}, 600),
        ({"SLURM_MEM_PER_GPU": "300", "SLURM_GPUS_ON_NODE": "2"}, 600),
        ({"SLURM_MEM_PER_GPU": "300", "CUDA_VISIBLE_DEVICES": "0,1,2"}, 900),
        ({"SLURM_MEM_PER_GPU": "300", "SLURM_MEM_PER_CPU": "1500", "SLURM_GPUS_ON_NODE": "1"}, 300),
        ({"SLURM_MEM_PER_NODE": "", "SLURM_MEM_PER_CPU": "150"}, 600),
        ({JOB_MEMORY: "n1=600 n[2-3]=700"}, 700),
        ({JOB_MEMORY: "n1=600\nn2=800\nn3=900"}, 800),
        ({JOB_MEMORY: "n[1-3]=0"}, None),
        ({}, None),
    ],
)
def test_the_memory_of_the_job(variables: dict[str, str], megabytes: int | None) -> None:
    found = slurm_allocation({**BASE, **variables}).memory
    assert found == (10**12 if megabytes is None else megabytes * MEGABYTE)


def test_the_control_group_counts_where_it_allows_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "control_group_limit", lambda: 500 * MEGABYTE)
    assert slurm_allocation(BASE).memory == 500 * MEGABYTE
    assert slurm_allocation({**BASE, "SLURM_MEM_PER_NODE": "4000"}).memory == 500 * MEGABYTE
    assert slurm_allocation({**BASE, "SLURM_MEM_PER_NODE": "400"}).memory == 400 * MEGABYTE


def test_without_any_limit_it_is_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "control_group_limit", lambda: None)
    assert slurm_allocation(BASE).memory == psutil.virtual_memory().total


HETEROGENEOUS = {
    "SLURM_JOB_ID": "7",
    "SLURM_HET_SIZE": "2",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_JOB_CPUS_PER_NODE": "3(x2),4",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "n3",
    "SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0": "4",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "n[1-2]",
    "SLURM_JOB_CPUS_PER_NODE_HET_GROUP_1": "3(x2)",
    JOB_MEMORY: "n3=3000\nn[1-2]=2000",
}
"""As a step over both components has it: the list of nodes is sorted, the numbers of nodes are not."""


@pytest.mark.usefixtures("no_group")
def test_nodes_of_a_heterogeneous_job_are_numbered_by_component() -> None:
    found = [slurm_allocation({**HETEROGENEOUS, "SLURM_NODEID": str(number)}) for number in range(3)]
    assert [each.node_name for each in found] == ["n3", "n1", "n2"]
    assert {each.head_name for each in found} == {"n3"}
    assert [(each.component, each.cpus, each.memory // MEGABYTE) for each in found] == [
        (0, 4, 3000), (1, 3, 2000), (1, 3, 2000),
    ]  # fmt: skip


def test_a_node_in_two_components_is_refused() -> None:
    with pytest.raises(BootstrapError, match="node n3 has been given to two groups of the job"):
        slurm_allocation({**HETEROGENEOUS, "SLURM_JOB_NODELIST_HET_GROUP_1": "n[2-3]", "SLURM_NODEID": "0"})


def group(root: Path, path: str, name: str, text: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_version_1_limits_the_job_and_not_the_task(tmp_path: Path) -> None:
    for path, text in (
        ("memory", UNLIMITED),
        ("memory/slurm", UNLIMITED),
        ("memory/slurm/uid_7/job_1", "629145600\n"),
        ("memory/slurm/uid_7/job_1/step_0", "629145601\n"),
        ("memory/slurm/uid_7/job_1/step_0/task_0", UNLIMITED),
    ):
        group(tmp_path, path, "memory.limit_in_bytes", text)
    memberships = "4:memory:/slurm/uid_7/job_1/step_0/task_0\n0::/slurm/x\n"
    assert smallest_limit(memberships, tmp_path) == 629145600
    assert counter_file(memberships, tmp_path) == (
        tmp_path / "memory/slurm/uid_7/job_1/step_0/task_0/memory.oom_control"
    )


def test_version_2_limits_the_job_and_not_the_step(tmp_path: Path) -> None:
    for path, text in (
        ("system.slice/slurmstepd.scope/job_1", "734003200\n"),
        ("system.slice/slurmstepd.scope/job_1/step_0", "max\n"),
        ("system.slice/slurmstepd.scope/job_1/step_0/user/task_0", "max\n"),
    ):
        group(tmp_path, path, "memory.max", text)
    memberships = "0::/system.slice/slurmstepd.scope/job_1/step_0/user/task_0\n"
    assert smallest_limit(memberships, tmp_path) == 734003200
    group(tmp_path, "system.slice/slurmstepd.scope/job_1", "memory.high", "700000000\n")
    assert smallest_limit(memberships, tmp_path) == 700000000


@pytest.mark.parametrize(
    ("memberships", "file", "expected"),
    [
        ("0::/docker/abc\n", "memory.max", 5000),  # the path is the host's
        ("0::/../../elsewhere\n", "memory.max", 5000),
        ("3:memory:/docker/abc\n", "memory/memory.limit_in_bytes", 5000),
        ("0::/\n", "memory.max", 5000),
        ("1:name=systemd:/x\n", "memory.max", None),
        ("", "memory.max", None),
    ],
)
def test_only_the_root_is_there_in_a_container(
    tmp_path: Path, memberships: str, file: str, expected: int | None
) -> None:
    group(tmp_path, str(Path(file).parent), Path(file).name, "5000\n")
    assert smallest_limit(memberships, tmp_path) == expected
