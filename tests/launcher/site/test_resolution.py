"""From what a run needs to partition, nodes and options, by what a site file says."""

import random

import pytest
import yaml

from curator_slurm.launcher.errors import SitePolicyError, SpecError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.node_layout import layout_lines
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.plan.revise import replan
from curator_slurm.launcher.plan.sbatch_lines import sbatch_lines
from curator_slurm.launcher.site import layers
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.needs import JobNeed, need_of
from curator_slurm.launcher.site.partition_fit import fit
from curator_slurm.launcher.site.resolution import Refusal, _nearest, resolve_need
from curator_slurm.launcher.spec.node_sections import ResourcesSpec

SITE = """
site: {name: demo, contact: help@example.org}
gpu_types:
  h100: {gres_type: h100, account_suffix: "@h100", names: [hopper]}
  a100: {account_suffix: "@a100", constraint: a100}
partitions:
  small: {cpus: 128, memory: 256G, node_count: 10, default_time: "1:00:00", together: cpu,
          limits: {time: "12:00:00", nodes: 4}}
  long: {cpus: 128, memory: 256G, node_count: 10, default_time: "1:00:00", limits: {time: 2-00:00:00}, together: cpu}
  gpu:
    {cpus: 64, usable_cpus: 56, memory: 480G, gpus: 4, gpu_type: h100, node_count: 100, qos: g,
     limits: {time_by_nodes: [{nodes: 2, time: "12:00:00"}, {nodes: 64, time: "2:00:00"}]}}
  whole: {cpus: 64, memory: 240G, gpus: 8, gpu_type: a100, sharing: whole, mem_by: whole_node, gpus_by: never,
          limits: {node_hours: 24, nodes: 8}}
  quarter: {cpus: 72, memory: 480G, gpus: 4, gpu_type: h100, choose: false, min_gpus: 1, whole_if_several: true}
"""


def site(text=SITE):
    return Site.model_validate(yaml.safe_load(text))


def resolve(resources, text=SITE):
    return resolve_need(need_of(ResourcesSpec.model_validate(resources)), site(text))


def asked(resources, text=SITE):
    found = resolve(resources, text)
    assert not isinstance(found, Refusal), found
    return {key: value for key, value in found.values.items() if value not in (None, {})}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (
            {"gpus": 16, "gpu_type": "h100"},
            {"partition": "gpu", "nodes": 4, "gpus_per_node": "h100:4", "cpus_per_node": 56, "mem_per_node": "480G"},
        ),
        (
            {"gpus": 6, "gpu_type": "Hopper", "account": "p"},
            {"partition": "gpu", "nodes": 2, "gpus_per_node": "h100:3", "cpus_per_node": 42, "mem_per_node": "360G"}
            | {"account": "p@h100"},
        ),
        ({"gpus": 1, "account": "p@a100"}, {"partition": "gpu", "nodes": 1, "gpus_per_node": "h100:1"}),
        ({"gpus_per_node": "h100:2", "gpus": 8}, {"nodes": 4, "gpus_per_node": "h100:2"}),
        ({"gpus_per_node": "a100:2", "nodes": 3}, {"partition": "whole", "nodes": 3, "gpus_per_node": "8"}),
        (
            {"cpus": 512, "mem_per_cpu": "4G"},
            {"partition": "long", "nodes": 8, "cpus_per_node": 64, "mem_per_node": "256G"},
        ),
        ({"cpus": 100}, {"partition": "small,long", "nodes": 1, "cpus_per_node": 100, "mem_per_node": "200G"}),
        ({}, {"partition": "small,long", "nodes": 1, "cpus_per_node": 128, "mem_per_node": "256G", "time": "1:00:00"}),
        ({"time": "1-00:00:00"}, {"partition": "long", "time": "1-00:00:00"}),
        ({"partition": "gpu"}, {"partition": "gpu", "nodes": 1, "gpus_per_node": "h100:4", "cpus_per_node": 56}),
        ({"partition": "gpu", "gpus": 0}, {"partition": "gpu", "cpus_per_node": 56}),
        ({"gpu_type": "a100"}, {"partition": "whole", "gpus_per_node": "8", "cpus_per_node": 64}),
        ({"partition": "quarter", "gpus": 1}, {"nodes": 1, "gpus_per_node": "h100:1", "cpus_per_node": 18}),
        ({"partition": "quarter", "gpus": 5}, {"nodes": 2, "gpus_per_node": "h100:4", "cpus_per_node": 72}),
        ({"partition": "long,gpu"}, {"partition": "long"}),
    ],
    ids=str,
)
def test_needs_become_options(resources, expected):
    found = asked(resources)
    assert {key: found.get(key) for key in expected} == expected
    if resources.get("gpus") == 0:
        assert "gpus_per_node" not in found


def test_options_of_the_partition_and_of_the_user_hold_both():
    found = asked({"gpu_type": "a100", "sbatch": {"constraint": "ib|roce", "comment": "c"}})
    assert found["sbatch"] == {"constraint": "a100&(ib|roce)", "comment": "c"}
    assert asked({"gpus": 4})["sbatch"] == {"qos": "g"}
    assert asked({"gpus": 4, "sbatch": {"qos": "mine"}})["sbatch"] == {"qos": "mine"}


@pytest.mark.parametrize(
    ("resources", "key", "words"),
    [
        ({"gpus": 1000, "gpu_type": "h100"}, "gpus", "nearest that can run: resources.gpus: 256"),
        ({"gpus": 16, "gpu_type": "h100", "time": "6:00:00"}, "time", "nearest that can run: resources.time: 2:00:00"),
        ({"gpus": 1, "gpu_type": "b200"}, "gpu_type", "nearest that can run: resources.gpu_type: h100"),
        ({"partition": "gpu", "cpus_per_node": 64}, "cpus_per_node", "resources.cpus_per_node: 56"),
        ({"partition": "small", "gpus": 4}, "gpus", "resources.partition: gpu"),
        ({"gpu_type": "a100", "nodes": 6, "time": "5:00:00"}, "time", "resources.time: 4:00:00"),
        ({"mem_per_node": "1T"}, "mem_per_node", "resources.mem_per_node: 480G"),
        ({"gpus": 257, "gpu_type": "h100"}, "gpus", "nearest that can run: resources.gpus: 256"),
        ({"cpus": 2000, "partition": "small"}, "cpus", "nearest that can run: resources.cpus: 512"),
        ({"cpus": 5001, "partition": "small,long"}, "cpus", "nearest that can run: resources.cpus: 1280"),
        ({"cpus": 513, "partition": "small", "mem_per_cpu": "4G"}, "cpus", "can run: resources.cpus: 256"),
        ({"nodes": 1, "gpus": 8, "gpu_type": "h100"}, "nodes", "resources.nodes: 2"),
        ({"partition": "quarter", "gpus": 0}, "gpus", "at least 1 GPU"),
        ({"partition": "none", "gpus": 1}, "partition", "does not describe partition none"),
    ],
    ids=str,
)
def test_what_cannot_run_is_refused_with_the_nearest_that_can(resources, key, words):
    found = resolve(resources)
    assert isinstance(found, Refusal)
    assert found.key == f"resources.{key}"
    assert words in found.words


def test_partitions_that_are_not_described_are_left_to_slurm():
    assert resolve({"partition": "unknown", "nodes": 3}) is None


@pytest.mark.parametrize(
    ("way", "resources", "expected"),
    [
        ("mem_by: per_cpu, mem_per_cpu: 2G", {"cpus_per_node": 4}, {"cpus_per_node": 4}),
        ("mem_by: per_cpu, mem_per_cpu: 2G", {"cpus": 4, "mem_per_cpu": "5G"}, {"cpus_per_node": 10}),
        ("mem_by: per_cpu, mem_per_cpu: 2G", {"mem_per_node": "100G", "cpus": 1}, {"cpus_per_node": 50}),
        ("mem_by: never", {"mem_per_node": "10G"}, {"mem_per_node": None}),
        ("mem_by: per_gpu, mem_per_gpu: 60G", {"mem_per_node": "100G", "gpus": 2}, {"gpus_per_node": "2"}),
    ],
)
def test_memory_by_the_ways_of_sites(way, resources, expected):
    text = f"partitions: {{p: {{cpus: 64, memory: 256G, gpus: 4, {way}}}}}"
    found = asked(resources, text)
    assert {key: found.get(key) for key in expected} == expected
    assert "mem_per_node" not in found


def test_memory_that_follows_gpus_is_refused_where_it_is_too_little():
    found = resolve(
        {"mem_per_node": "100G", "gpus": 1}, "partitions: {p: {gpus: 4, mem_by: per_gpu, mem_per_gpu: 60G}}"
    )
    assert "resources.gpus_per_node: 2" in found.words


def test_a_partition_by_its_name_in_slurm_and_its_qos():
    text = """
partitions:
  normal: {slurm_name: boost, cpus: 32}
  debug: {slurm_name: boost, qos: dbg, cpus: 32, choose: false, limits: {nodes: 2}}
  free: {cpus: 8, option_partition: false, constraint: x, choose: false}
"""
    assert asked({"partition": "boost"}, text)["partition"] == "boost"
    assert asked({"partition": "debug"}, text)["sbatch"] == {"qos": "dbg"}
    found = resolve({"partition": "boost", "nodes": 3, "sbatch": {"qos": "dbg"}}, text)
    assert "debug: 3 nodes are more than the 2" in found.words
    assert asked({"partition": "free"}, text) == {"nodes": 1, "cpus_per_node": 8, "sbatch": {"constraint": "x"}}


def test_whatever_is_named_as_nearest_can_run():
    """Random needs on random sites: a refusal's settings are enough, and what is placed has what was needed."""
    rng = random.Random(7)

    def some(*values):
        return rng.choice([None, *values])

    refused = 0
    for _ in range(1500):
        partition = {
            "cpus": some(8, 64), "memory": some("64G", "480G"), "gpus": rng.choice([0, 4, 8]), "min_gpus": some(1),
            "sharing": some("whole"), "mem_by": some("per_cpu", "never"), "mem_per_cpu": some("2G"),
            "limits": {"nodes": some(1, 4, 64), "gpus": some(4, 16), "min_nodes": some(2), "time": some("10:00:00"),
                       "node_hours": some(2, 100)},
        }  # fmt: skip
        part = {key: value for key, value in partition.items() if value is not None}
        part["limits"] = {key: value for key, value in partition["limits"].items() if value is not None}
        here = Site.model_validate({"partitions": {"p": part, "q": {"cpus": 16, "choose": False}}})
        need = JobNeed(
            nodes=some(1, 3, 100), gpus=some(0, 1, 6, 100), cpus=some(1, 100, 5000), mem_per_cpu=some(1024, 9000),
            gpus_per_node=some(2), time=some("1:00:00", "99:00:00"), partitions=rng.choice([(), ("p",)]),
        )  # fmt: skip
        found = resolve_need(need, here)
        if isinstance(found, Refusal):
            changes = _nearest(need, here, list(need.partitions))
            refused += bool(changes)
            assert not changes or not isinstance(resolve_need(need.changed(changes), here), Refusal), (
                need,
                part,
                changes,
            )
        else:
            placed = fit(need, here, found.partitions[0], named=bool(need.partitions))
            assert placed.nodes * placed.gpus >= (need.gpus or 0)
            assert need.nodes in (None, placed.nodes)
            assert need.cpus is None or placed.cpus is None or placed.nodes * placed.cpus >= need.cpus
    assert refused > 100


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "none")

    def make(resources, text=SITE, cluster=Cluster.SLURM, more=""):
        path = tmp_path / "site.yaml"
        path.write_text(text)
        path.chmod(0o644)
        spec = tmp_path / "spec.yaml"
        spec.write_text(f"name: x\npipeline: {{command: 'true'}}\nresources: {resources}\n{more}")
        return make_plan(spec, [], cluster, {"CURATOR_SLURM_SITE": str(path), "HOME": str(tmp_path)})

    return make


def test_a_plan_says_where_every_value_is_from(plan, tmp_path):
    made = plan("{gpus: 16, gpu_type: h100, account: p}")
    spec, file = f"{tmp_path}/spec.yaml:3", f"{tmp_path}/site.yaml"
    assert made.origins["resources.nodes"] == f"{spec} (resources.gpus), {file}:11 (partitions.gpu.gpus)"
    assert made.origins["resources.cpus_per_node"] == f"{file}:11 (partitions.gpu.usable_cpus)"
    assert made.origins["resources.account"].endswith(f"{file}:4 (gpu_types.h100.account_suffix)")
    assert made.origins["resources.sbatch.qos"].endswith("(partitions.gpu.qos)")
    assert made.placed == ["gpu"]
    assert any("nodes: 4" in line for line in made.explain)
    assert Plan.from_yaml(made.to_yaml()) == made
    assert "gpu_type: " not in made.to_yaml().partition("\norigins:")[0]


def test_the_habits_of_a_partition_hold_for_its_jobs(plan):
    whole = plan("{gpu_type: a100}")
    assert (whole.habits.gpus.value, whole.habits.mem.value) == ("never", "whole_node")
    assert whole.at_site().limits.nodes == 8
    assert plan("{gpus: 1}").habits.gpus.value == "gpus_per_node"


def test_without_partitions_needs_are_refused_with_what_to_write(plan):
    with pytest.raises(SpecError, match=r"resources.nodes` and `resources.gpus_per_node"):
        plan("{gpus: 16}", "site: {name: demo}")
    assert plan("{gpus: 2, cpus: 8, mem_per_cpu: 1G}", cluster=Cluster.LOCAL).spec.resources.gpus_per_node == "2"


def test_counts_must_agree_and_memory_is_asked_in_one_way(plan):
    with pytest.raises(SpecError, match="leave one of the three out"):
        plan("{gpus: 16, nodes: 2, gpus_per_node: 4}")
    with pytest.raises(SpecError, match="ask for memory in different ways"):
        plan("{mem_per_cpu: 4G, mem_per_node: 4G}")
    with pytest.raises(SpecError, match=r"cluster.min_nodes` is 5, but what `resources` asks for is 4"):
        plan("{gpus: 16}", more="cluster: {min_nodes: 5}\n")
    assert plan("{gpus: 16}", more="cluster: {min_nodes: 3}\n").spec.min_nodes == 3


def test_a_dedicated_head_is_one_node_more(plan):
    head = "cluster: {head: dedicated}\n"
    for needs, nodes, gpus, cpus in (
        ("{gpus: 16}", 5, "h100:4", 56),
        ("{gpus: 6}", 3, "h100:3", 42),
        ("{cpus: 256, mem_per_cpu: 1G}", 3, None, 128),
        ("{gpus: 16, nodes: 9}", 9, "h100:2", 28),
    ):
        found = plan(needs, more=head)
        resources = found.spec.resources
        assert (resources.nodes, resources.gpus_per_node, resources.cpus_per_node) == (nodes, gpus, cpus)
        assert f"of {nodes} nodes has the driver" in layout_lines(found)[0]
    assert "cluster.head" in next(line for line in plan("{gpus: 16}", more=head).explain if line.startswith("nodes: 5"))
    with pytest.raises(SpecError, match="gpus and head need 5 nodes there, and 4 are asked for"):
        plan("{gpus: 16, gpu_type: h100, nodes: 4}", more=head)
    with pytest.raises(SpecError, match=r"nearest that can run: resources.gpus: 252"):
        plan("{gpus: 253, gpu_type: h100}", more=head)


def test_a_default_of_time_is_not_missed_where_no_partition_fits(plan):
    with pytest.raises(SpecError) as error:
        plan("{gpus: 1, gpu_type: v100}", f"slurm: {{time_required: true}}\n{SITE}")
    assert [each.key for each in error.value.problems] == ["resources.gpu_type"]


def test_partitions_together_may_have_other_defaults():
    """Default time and share of memory of the first one are asked for in all of them, where they fit."""
    text = """
partitions:
  a: {cpus: 128, memory: 256G, default_time: "1:00:00", together: c}
  b: {cpus: 64, memory: 256G, default_time: "0:30:00", together: c, limits: {time: "2:00:00"}}
  c: {cpus: 64, memory: 96G, default_time: "0:30:00", together: c, limits: {time: "0:30:00"}}
"""
    found = resolve_need(need_of(ResourcesSpec(cpus=10)), site(text))
    assert found.values["partition"] == "a,b"
    assert (found.values["time"], found.values["mem_per_node"]) == ("1:00:00", "20G")
    assert resolve_need(need_of(ResourcesSpec(cpus=10, time="20:00")), site(text)).values["partition"] == "a,b,c"


def test_each_group_is_put_into_a_partition_by_itself(plan):
    groups = "{name: g, gpus: 16, gpu_type: h100}, {name: w, gpu_type: a100, nodes: 2}, {name: c}"
    made = plan(f"{{account: p, groups: [{groups}]}}", more="cluster: {head: dedicated}\n")
    resources = made.spec.resources
    assert made.placed_groups == {"c": ["small", "long"], "g": ["gpu"], "w": ["whole"]}
    cpu, gpu, whole = (part.resources for part in made.parts())
    assert (cpu.nodes, cpu.partition, cpu.gpus_per_node, cpu.account) == (2, "small,long", None, "p")
    assert (gpu.nodes, gpu.partition, gpu.gpus_per_node, gpu.account) == (4, "gpu", "h100:4", "p@h100")
    assert (whole.nodes, whole.mem_per_node, whole.account) == (2, None, "p@a100")
    assert (resources.nodes, resources.time) == (8, "1:00:00")
    assert any(line.startswith("group g: nodes: 4 (resources.groups.0.gpus") for line in made.explain)
    assert made.origins["resources.groups.0.nodes"].endswith(":11 (partitions.gpu.gpus)")
    assert Plan.from_yaml(made.to_yaml()) == made
    options = list(sbatch_lines(made))
    components = [number for number, option in enumerate(options) if option == ("hetjob", None)]
    assert len(components) == 2
    assert ("gpus-per-node", "h100:4") in options[components[0] : components[1]]
    assert ("mem", "0") in options[components[1] :]
    assert ("constraint", "a100") in options[components[1] :]
    with pytest.raises(SpecError) as error:
        plan("{groups: [{name: c}, {name: g, gpus: 1000, gpu_type: h100}]}")
    (problem,) = error.value.problems
    assert problem.key == "resources.groups.1.gpus"
    assert "group g: `resources.groups.1.gpus`" in problem.message
    assert "nearest that can run: resources.groups.1.gpus: 256" in problem.message


def test_a_group_that_comes_before_that_of_the_head_keeps_its_number(plan):
    with pytest.raises(SpecError) as error:
        plan("\n  groups:\n  - {name: g, gpus: 1000, gpu_type: h100}\n  - {name: c}")
    (problem,) = error.value.problems
    assert (problem.key, problem.where.rpartition(":")[2]) == ("resources.groups.0.gpus", "5")
    assert "nearest that can run: resources.groups.0.gpus: 256" in problem.message


def test_what_all_groups_ask_for_can_be_changed_for_all_in_a_retry(plan):
    groups = "{name: a, nodes: 2}, {name: g, partition: gpu, sbatch: {exclude: n7}}"
    made = plan(f"{{account: p, partition: small, sbatch: {{exclude: n1}}, groups: [{groups}]}}")
    assert [part.resources.account for part in made.parts()] == ["p", "p@h100"]
    settings = ["resources.account=q", "resources.groups.1.partition=whole", "resources.sbatch.exclude=n2"]
    again = replan(made, "r", settings, {"HOME": "/"})
    assert [part.resources.account for part in again.parts()] == ["q", "p@h100"]
    assert [part.resources.sbatch for part in again.parts()] == [{"exclude": "n2"}, {"exclude": "n7", "qos": "g"}]
    assert again.placed_groups == {"a": ["small"], "g": ["whole"]}
    assert [part.habits.gpus.value for part in again.parts()] == ["gpus_per_node", "never"]
    both = replan(made, "r", ["resources.partition=long"], {"HOME": "/"})
    assert both.placed_groups == {"a": ["long"], "g": ["gpu"]}


def test_a_partition_that_is_not_named_to_slurm_is_not_in_a_group_either(plan):
    text = "partitions: {a: {cpus: 4, option_partition: false, constraint: a}, b: {cpus: 8}}\n"
    made = plan("{partition: a, groups: [{name: one}, {name: two, partition: b}, {name: three, partition: x}]}", text)
    assert [part.resources.partition for part in made.parts()] == [None, "b", "x"]
    assert plan("{partition: b, groups: [{name: one}]}", text).parts()[0].resources.partition == "b"


def test_a_refusal_is_an_error_of_the_line_of_the_spec(plan):
    with pytest.raises(SpecError) as error:
        plan("{gpus: 1000}")
    assert [problem.where.rpartition(":")[2] for problem in error.value.problems] == ["3"]
    assert "help@example.org" in str(error.value)


def test_a_retry_keeps_to_the_partition_and_asks_in_numbers_of_nodes(plan, tmp_path):
    made = plan("{gpus: 16, account: p}")
    again = replan(made, "r", ["resources.time=1:00:00"], {"HOME": str(tmp_path)})
    assert (again.placed, again.habits, again.explain) == (made.placed, made.habits, made.explain)
    with pytest.raises(SitePolicyError, match="longer than 2:00:00"):
        replan(made, "r", ["resources.time=3:00:00"], {"HOME": str(tmp_path)})
    with pytest.raises(SpecError, match="turned into nodes"):
        replan(made, "r", ["resources.gpus=8"], {"HOME": str(tmp_path)})
    assert replan(made, "r", ["resources.partition=whole"], {"HOME": str(tmp_path)}).habits.gpus.value == "never"


def test_the_lower_of_two_limits_holds():
    both = Site.model_validate({"limits": {"nodes": 4, "time": "5:00:00"}, "partitions": {"p": {"limits": {"nodes": 9,
        "time": "4:00:00", "submitted_jobs": 3}}}}).in_partition("p").limits  # fmt: skip
    assert (both.nodes, both.time, both.submitted_jobs) == (4, "4:00:00", 3)
    none = Site.model_validate({"limits": {"gpus": 0}, "partitions": {"p": {"limits": {"gpus": 4}}}})
    assert none.in_partition("p").limits.gpus == 0
