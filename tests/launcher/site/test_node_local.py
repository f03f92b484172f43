"""The node-local folder of a plan: its path, what the site says of it, and what does not fit."""

from __future__ import annotations

import pytest
from site_places import Places

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.local_disk import LocalDisk, local_disk
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.node_facts import Addressing, addressing, purge_days
from curator_slurm.launcher.plan.resolve import make_plan

GIB = 1 << 30


def test_what_the_site_says_of_its_folder(places: Places) -> None:
    places.environ["USER"] = "alice"
    places.write(
        "system", 'storage: {node_local: {path: "/local/${USER}", is_memory: true, size: 8G}, purge_days: 40}\n'
    )
    plan = places.plan()
    assert plan.spec.storage.node_local == "/local/alice"
    assert local_disk(plan) == LocalDisk("/local/alice", is_memory=True, size=8 * GIB)
    assert local_disk(Plan.from_yaml(plan.to_yaml())) == local_disk(plan)
    assert purge_days(plan) == 40


def test_a_folder_that_the_spec_names_is_not_the_sites(places: Places) -> None:
    places.write("system", "storage: {node_local: {path: /local, is_memory: true}}\n")
    assert local_disk(places.plan("storage.node_local=/nvme")) == LocalDisk("/nvme")
    assert local_disk(places.plan("storage.node_local=/local")).is_memory


def test_tmp_is_what_it_is_called(places: Places) -> None:
    """A spec that takes the folder away is in /tmp, whatever the site's key says of it."""
    places.write("system", "storage: {node_local: {path: /tmp, is_memory: true}}\n")
    plan = places.plan("storage.node_local=null")
    assert plan.spec.storage.node_local is None
    assert local_disk(plan).is_memory


def test_variables_of_the_job_stay_for_the_nodes(places: Places) -> None:
    places.environ |= {"SLURM_JOB_ID": "99", "USER": "alice"}
    for text in ("/run/${SLURM_JOB_ID}/${USER}", "/run/$SLURM_JOB_ID/$USER"):
        places.write("system", f'storage: {{node_local: {{path: "{text}", size: 1G}}}}\n')
        plan = places.plan()
        assert plan.spec.storage.node_local == "/run/${SLURM_JOB_ID}/alice"
        assert local_disk(plan) == LocalDisk("/run/${SLURM_JOB_ID}/alice", size=GIB)
        here = make_plan(places.spec, [], Cluster.LOCAL, places.environ)
        assert here.spec.storage.node_local is None
        assert local_disk(here) == LocalDisk()


def test_partitions_have_their_own(places: Places) -> None:
    places.write(
        "system",
        "partition_defaults: {node_local: {path: /scratch}}\n"
        "partitions:\n"
        "  gpu: {cpus: 4, gpus: 2, memory: 16G, node_local: {path: /nvme, size: 100G}}\n"
        "  cpu: {cpus: 4, memory: 16G}\n",
    )
    gpu = places.plan("resources={gpus: 2}")
    assert gpu.spec.storage.node_local == "/nvme"
    assert local_disk(gpu) == LocalDisk("/nvme", size=100 * GIB)
    assert gpu.origins["storage.node_local"] == f"{places.system}:3 (partitions.gpu.node_local)"
    cpu = places.plan("resources={cpus: 2}")
    assert cpu.spec.storage.node_local == "/scratch"
    assert cpu.origins["storage.node_local"].endswith("(partition_defaults.node_local)")


def test_the_folder_of_a_partition_counts_over_that_of_the_site_and_a_specs_over_both(places: Places) -> None:
    storage = "storage:\n  node_local:\n    path: /tmp\n    is_memory: true\n"
    places.write("system", f"{storage}partitions: {{gpu: {{cpus: 4, gpus: 2, node_local: /nvme}}, cpu: {{cpus: 4}}}}\n")
    gpu = places.plan("resources={gpus: 2}")
    assert (gpu.spec.storage.node_local, local_disk(gpu)) == ("/nvme", LocalDisk("/nvme"))
    assert local_disk(places.plan("resources={cpus: 2}")) == LocalDisk("/tmp", is_memory=True)
    assert local_disk(places.plan("resources={gpus: 2}", "storage.node_local=/tmp")).is_memory


def test_a_variable_of_the_job_may_be_the_whole_path(places: Places) -> None:
    places.write("system", "storage: {node_local: {path: $SLURM_TMPDIR, size: 1G}}\n")
    plan = places.plan()
    assert local_disk(plan) == LocalDisk("${SLURM_TMPDIR}", size=GIB)


def test_groups_have_those_of_their_partitions(places: Places) -> None:
    places.write(
        "system",
        "partitions:\n"
        "  gpu: {cpus: 4, gpus: 2, memory: 16G, node_local: {path: '/nvme/${USER}', size: 100G}}\n"
        "  cpu: {cpus: 4, memory: 16G, node_local: {path: /tmp, is_memory: true, size: 4G}}\n",
    )
    places.environ["USER"] = "alice"
    groups = "resources={groups: [{name: g, partition: gpu}, {name: c, partition: cpu}, {name: o, partition: other}]}"
    expected = {
        "g": LocalDisk("/nvme/alice", size=100 * GIB),
        "c": LocalDisk("/tmp", is_memory=True, size=4 * GIB),
        "o": LocalDisk(),
    }
    plan = places.plan(groups)
    for each in (plan, Plan.from_yaml(plan.to_yaml())):
        assert {name: local_disk(each, name) for name in expected} == expected
    own = places.plan(groups, "storage.node_local=/tmp")
    assert local_disk(own, "g") == LocalDisk("/tmp")
    assert local_disk(own, "c").is_memory
    with pytest.raises(SpecError, match=r"`resources.groups.1.mem_per_node` is 3G, and all of it is kept for /tmp"):
        places.plan(groups, "resources.groups.1.mem_per_node=3G")


def test_memory_that_the_folder_takes_whole_is_refused(places: Places) -> None:
    places.write("system", "storage: {node_local: {path: /tmp, is_memory: true, size: 8G}}\n")
    with pytest.raises(SpecError, match=r"`resources.mem_per_node` is 8G, and all of it is kept for /tmp"):
        places.plan("resources={mem_per_node: 8G}")
    assert places.plan("resources={mem_per_node: 9G}").spec.resources.mem_per_node == "9G"
    assert places.plan("resources={mem_per_node: 0}")


@pytest.mark.parametrize(
    ("disk", "of", "kept"),
    [
        (LocalDisk(), 64 * GIB, 0),
        (LocalDisk(size=8 * GIB), 64 * GIB, 0),
        (LocalDisk(is_memory=True, size=8 * GIB), 64 * GIB, 8 * GIB),
        (LocalDisk(is_memory=True), 32 * GIB, 2 * GIB),
        (LocalDisk(is_memory=True), 512 * GIB, 4 * GIB),
        (LocalDisk(is_memory=True), GIB, GIB // 4),
    ],
)
def test_memory_that_is_kept_for_files(disk: LocalDisk, of: int, kept: int) -> None:
    assert disk.memory(of) == kept


def test_how_nodes_are_addressed(places: Places) -> None:
    assert addressing(places.plan()) == Addressing()
    assert purge_days(places.plan()) is None
    places.write("system", "network: {interface: [ib0, 10.1.0.0/16], host_suffix: i, family: ipv6}\n")
    assert addressing(places.plan()) == Addressing(("ib0", "10.1.0.0/16"), "i", 6)
    assert addressing(places.plan("network.interface=eth0")).interfaces == ("eth0",)
    here = make_plan(places.spec, [], Cluster.LOCAL, places.environ)
    assert addressing(here) == Addressing(("ib0", "10.1.0.0/16"))
