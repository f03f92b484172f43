"""Plans: everything absolute and filled in, and what can be seen before submission reported with the rest."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, job_environment
from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.node_layout import layout_lines
from curator_slurm.launcher.plan.resolve import choose_cluster, make_plan, plan_of
from curator_slurm.launcher.plan.revise import replan
from curator_slurm.launcher.plan.sbatch_lines import handed_on
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.model import Spec

BASE = "name: demo\npipeline: {command: echo hi}\n"


@pytest.fixture
def spec(tmp_path):
    """Write a spec that goes on from a minimal one."""

    def write(text=""):
        path = tmp_path / "spec.yaml"
        path.write_text(BASE + text)
        return path

    return write


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path / "home"), "USER": "ann", "CURATOR_SLURM_RUNS": str(tmp_path / "runs")}


def keys(caught):
    return [problem.key for problem in caught.value.problems]


def test_everything_is_absolute(spec, environ, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to("/bin/sh")
    path = spec(
        "input: {paths: [data, 's3://b/x', '${HOME}/../data/*.txt']}\nenvironment: {venv: env}\n"
        "output: {path: out}\nstorage: {runs: 'r/${USER}', node_local: ~/scratch}\n"
    )
    plan = make_plan(path, [], Cluster.SLURM, environ)
    assert plan.spec.input.paths == [f"{tmp_path}/data", "s3://b/x", f"{tmp_path}/home/../data/*.txt"]
    assert plan.spec.environment.venv == f"{tmp_path}/env"
    assert plan.python == f"{tmp_path}/env/bin/python"
    assert plan.spec.output.path == f"{tmp_path}/out"
    assert plan.spec.storage.runs == f"{tmp_path}/r/ann"
    assert plan.spec.storage.node_local == f"{tmp_path}/home/scratch"
    assert plan.spec_dir == str(tmp_path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "r").exists()


def test_defaults_and_origins(spec, environ):
    plan = make_plan(spec("resources: {nodes: 2}\n"), ["executor.backend=ray_data"], Cluster.SLURM, environ, "/py")
    assert plan.python == "/py"
    assert plan.spec.storage.runs == environ["CURATOR_SLURM_RUNS"]
    assert plan.origins["resources.nodes"].endswith("spec.yaml:3")
    assert plan.origins["executor.backend"] == "--set"
    assert plan.origins["storage.runs"] == "$CURATOR_SLURM_RUNS"
    assert plan.origins["cluster.join_timeout_s"] == "default"


def test_the_same_spec_gives_the_same_plan(spec, environ):
    path = spec("resources: {sbatch: {mail_type: ALL}}\n")
    first, second = (make_plan(path, [], Cluster.SLURM, environ).to_yaml() for _ in range(2))
    assert first == second
    assert Plan.from_yaml(first).spec.resources.sbatch == {"mail-type": "ALL"}


def program(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_folder_of_slurms_commands_is_that_of_sbatch(spec, environ, tmp_path):
    for name in ("sbatch", "srun"):
        program(tmp_path / "opt" / "bin", name)
    environ["PATH"] = f"/nowhere:{tmp_path / 'opt' / 'bin'}"
    assert make_plan(spec(), [], Cluster.SLURM, environ).slurm_bin == str(tmp_path / "opt" / "bin")
    assert make_plan(spec(), [], Cluster.LOCAL, environ).slurm_bin is None
    environ["PATH"] = "/nowhere"
    assert make_plan(spec(), [], Cluster.SLURM, environ).slurm_bin is None


def test_a_link_to_sbatch_leads_to_slurms_other_commands(spec, environ, tmp_path):
    real = program(tmp_path / "opt" / "bin", "sbatch")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "sbatch").symlink_to(real)
    environ["PATH"] = str(tmp_path / "links")
    assert make_plan(spec(), [], Cluster.SLURM, environ).slurm_bin == str(tmp_path / "links")
    program(tmp_path / "opt" / "bin", "srun")
    assert make_plan(spec(), [], Cluster.SLURM, environ).slurm_bin == str(tmp_path / "opt" / "bin")
    program(tmp_path / "links", "srun")
    assert make_plan(spec(), [], Cluster.SLURM, environ).slurm_bin == str(tmp_path / "links")


def test_on_this_machine_there_is_one_node(spec, environ):
    plan = make_plan(spec("resources: {nodes: 4}\ncluster: {min_nodes: 3}\n"), [], Cluster.LOCAL, environ)
    assert (plan.spec.resources.nodes, plan.spec.min_nodes) == (1, 1)
    assert plan.origins["resources.nodes"].startswith("local cluster")


def test_a_dedicated_head_is_one_of_the_nodes(spec, environ, tmp_path):
    text = "resources: {nodes: 4}\ncluster: {head: dedicated}\n"
    path = spec(text)
    plan = make_plan(path, [], Cluster.SLURM, environ)
    assert (plan.spec.resources.nodes, plan.spec.has_own_head) == (4, True)
    said = layout_lines(plan)
    assert said[0].startswith("head: the first of 4 nodes has the driver and takes no tasks, 3 take them (")
    assert f"{path}:4 (cluster.head)" in said[0]
    assert job_environment({}, RunPaths(tmp_path), plan)["CURATOR_IGNORE_RAY_HEAD_NODE"] == "1"


GROUPS = """pipeline:
  stages:
    - {use: "m:A", resources: {group: gpu}}
    - {use: "m:B", resources: {cpus: 2, group: cpu}}
resources:
  time: 60
  sbatch: {C: x}
  groups:
    - {name: gpu, nodes: 2, gpus_per_node: "a100:8", mem_per_node: 4G}
    - {name: cpu, nodes: 3, sbatch: {constraint: y, nice: 007}}
"""


@pytest.fixture
def grouped(tmp_path, environ):
    def make(cluster=Cluster.SLURM, text=GROUPS, overrides=()):
        path = tmp_path / "spec.yaml"
        path.write_text("name: demo\n" + text)
        return make_plan(path, list(overrides), cluster, environ)

    return make


def test_the_group_of_the_head_comes_first(grouped):
    plan = grouped()
    resources = plan.spec.resources
    assert [group.name for group in resources.groups] == ["gpu", "cpu"], "a number means the group that the spec says"
    assert (plan.components, [part.group for part in plan.parts()]) == ([1, 0], [1, 0])
    assert (resources.nodes, plan.spec.min_nodes) == (5, 5)
    cpu, gpu = (part.resources for part in plan.parts())
    assert (cpu.nodes, cpu.sbatch, cpu.time) == (3, {"constraint": "y", "nice": "007"}, "60")
    assert (gpu.gpus_per_node, gpu.sbatch, gpu.mem_per_node) == ("a100:8", {"constraint": "x"}, "4G")
    assert Plan.from_yaml(plan.to_yaml()) == plan
    assert layout_lines(plan)[0] == "group cpu: with the head and the driver, 3 nodes"
    assert layout_lines(plan)[1] == "group gpu: 2 nodes, each with a100:8 GPUs, 4G"
    named = grouped(overrides=["cluster.head_group=gpu"])
    assert named.components == [0, 1]
    again = replan(plan, "r", ["resources.time=30", "resources.groups.0.nodes=4"], {"HOME": "/"})
    assert [part.time for part in again.spec.resources.parts] == ["30", "30"]
    assert [part.resources.nodes for part in again.parts()] == [3, 4]
    assert again.spec.resources.nodes == 7


def test_the_agent_knows_its_group_by_its_component(grouped, tmp_path):
    plan = grouped()
    of = [Allocation("7", 0, number, ("n1", "n2"), 1, 1, 0, component=number) for number in (0, 1)]
    found = [AgentContext(plan, each, ClusterPaths(tmp_path, RunPaths(tmp_path)), None, {}, tmp_path) for each in of]
    assert [context.group for context in found] == ["cpu", "gpu"]


def test_options_that_slurm_hands_on_are_told(grouped):
    text = GROUPS.replace("time: 60", "time: 60\n  account: a")
    quiet = grouped(text=text, overrides=["resources.groups.0.account=b", "resources.groups.0.sbatch.qos=high"])
    assert list(handed_on(quiet)) == []
    said = dict(handed_on(grouped(text=text, overrides=["resources.groups.1.sbatch.q=high"])))
    assert list(said) == ["resources.groups.0.sbatch.qos"]
    assert "group gpu has no --qos, and Slurm gives it high, that of group cpu" in said["resources.groups.0.sbatch.qos"]


def test_on_this_machine_there_are_no_groups(grouped):
    plan = grouped(Cluster.LOCAL)
    assert (plan.spec.resources.groups, plan.spec.resources.nodes) == ([], 1)
    assert plan.spec.resources.gpus_per_node == "a100:8"
    by_need = grouped(Cluster.LOCAL, overrides=["resources.groups=[{name: gpu, gpus: 3}, {name: cpu}]"])
    assert by_need.spec.resources.gpu_count == 3
    first, second = plan.spec.pipeline.stages
    assert first.resources is None
    assert (second.resources.cpus, second.resources.group) == (2, None)
    assert Plan.from_yaml(plan.to_yaml()) == plan


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("resources.nodes=4", "`resources.nodes` is 4, but the groups have 5 node"),
        ("resources.gpus_per_node=4", "`resources.gpus_per_node` beside `resources.groups`: say in which group"),
        ("cluster.head_group=big", "big is not among `resources.groups`, only gpu, cpu"),
        ("cluster.min_nodes=6", "`cluster.min_nodes` is 6, but `resources.nodes` is 5"),
        ("shards.count=2", "Slurm has no arrays of them; leave `shards` out, and one run processes all input"),
        ("resources.groups.0.name=a b", "must be letters, digits"),
        ("resources.groups.0.name=cpu", "two groups of the name cpu"),
        ("resources.groups.1.sbatch.mem=4G", "`resources.groups.1.sbatch.mem` cannot be set here: use"),
        ("resources.groups.0.sbatch.mem-per-cpu=4G", "mem_per_node and sbatch.mem-per-cpu ask for memory"),
        ("resources.groups.1.node=4", "did you mean `nodes`?"),
        ("pipeline.stages.0.resources.group=gup", "gup is not among `resources.groups`, only gpu, cpu"),
        ("resources.groups=[]", "and there are no groups"),
        ("resources.groups.1.nodes=1", "`pipeline.stages.1.resources.group`: the only node of group cpu is the head"),
    ],
)
def test_wrong_groups(grouped, override, words):
    text = GROUPS + "input: {paths: [spec.yaml]}\ncluster: {head: dedicated}\n"
    with pytest.raises(SpecError, match=re.escape(words)):
        grouped(overrides=[override], text=text)


def test_on_this_machine_the_only_node_takes_tasks(spec, environ, tmp_path):
    text = "resources: {nodes: 4}\ncluster: {head: dedicated}\n"
    plan = make_plan(spec(text), [], Cluster.LOCAL, environ)
    assert not plan.spec.has_own_head
    assert plan.origins["cluster.head"].startswith("local cluster")
    assert layout_lines(plan) == []
    assert "CURATOR_IGNORE_RAY_HEAD_NODE" not in job_environment({}, RunPaths(tmp_path), plan)
    assert Plan.from_yaml(plan.to_yaml()) == plan


@pytest.mark.parametrize(
    ("environment", "python"),
    [
        ("python: /usr/bin/env", "/usr/bin/env"),
        ("conda: my-env", None),
        ("python: /only/on/nodes/python", "/only/on/nodes/python"),
    ],
)
def test_interpreters(spec, environ, environment, python):
    assert make_plan(spec(f"environment: {{{environment}}}\n"), [], Cluster.SLURM, environ, "/py").python == python


def test_everything_that_is_missing_is_told_at_once(spec, environ, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    path = spec(
        "resources: {nodes: many}\n"
        "input: {paths: [nope/*.txt, empty, $NOPE/x]}\n"
        "environment: {venv: no-env, secrets: [HF_TOKEN, USER]}\n"
        "output: {path: full}\n"
        "storage: {runs: file/runs}\n"
    )
    with pytest.raises(SpecError) as caught:
        make_plan(path, [], Cluster.SLURM, environ)
    assert keys(caught) == [
        "resources.nodes",
        "input.paths.2",
        "input.paths.0",
        "input.paths.1",
        "environment.venv",
        "environment.secrets.0",
        "output.path",
        "storage.runs",
    ]
    text = str(caught.value)
    for part in ("nope/*.txt: no files match", "is a folder without files", "uses $NOPE", "not a virtual environment"):
        assert part in text
    for part in ("HF_TOKEN is not set", "is not empty", "file is not a folder", "spec.yaml:7"):
        assert part in text


def test_interpreters_and_conda_prefixes_that_are_not_there(spec, environ, tmp_path):
    with pytest.raises(SpecError, match="not an executable program"):
        make_plan(spec("environment: {python: pyhton}\n"), [], Cluster.SLURM, environ)
    with pytest.raises(SpecError, match="not a conda environment"):
        make_plan(spec("environment: {conda: ./env}\n"), [], Cluster.SLURM, environ)


def test_addresses_cannot_be_outputs(spec, environ):
    with pytest.raises(SpecError) as caught:
        make_plan(spec("output: {path: 's3://b/x'}\nstorage: {runs: 's3://b'}\n"), [], Cluster.SLURM, environ)
    assert keys(caught) == ["output.path", "storage.runs"]


def test_a_folder_that_cannot_be_written(spec, environ, tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    # Root may write everywhere; what the kernel tells ordinary users is tested on the real cluster.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked)
    with pytest.raises(SpecError, match="not writable"):
        make_plan(spec("storage: {runs: locked/runs}\n"), [], Cluster.SLURM, environ)


def test_a_folder_is_looked_at_only_until_its_first_file(spec, environ, tmp_path):
    deep = tmp_path / "data" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x.txt").touch()
    assert make_plan(spec("input: {paths: data}\n"), [], Cluster.SLURM, environ).spec.input.paths == [
        str(tmp_path / "data")
    ]


def test_the_cluster(tmp_path):
    assert choose_cluster("slurm") is Cluster.SLURM
    assert choose_cluster("local") is Cluster.LOCAL
    assert choose_cluster("auto", str(tmp_path)) is Cluster.LOCAL
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert choose_cluster("auto", str(tmp_path)) is Cluster.SLURM


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@pytest.mark.long
@settings(deadline=None)
@given(
    st.dictionaries(st.text(), VALUES, max_size=4),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_a_plan_survives_its_file(args, value):
    spec = Spec.model_validate(
        {"name": "x", "pipeline": {"entry": "a:b", "args": args}, "environment": {"env": {"A": value}}}
    )
    plan = Plan(version="1", cluster=Cluster.LOCAL, spec=spec, spec_dir="/x", python="/py")
    assert Plan.from_yaml(plan.to_yaml()) == plan


def test_no_secret_is_in_the_plan(spec, environ):
    environ["HF_TOKEN"] = "s3cr3t-value"
    plan = make_plan(spec("environment: {secrets: [HF_TOKEN]}\n"), [], Cluster.SLURM, environ)
    assert "s3cr3t-value" not in plan.to_yaml()


def published(folder, **more):
    """What an earlier run has published in a folder."""
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("{}\n")
    record = {"run_id": "20260101-000000-abcd", "files": [{"path": "a.jsonl"}], **more}
    (folder / "_shard.json").write_text(json.dumps(record))


def test_an_output_that_is_there_is_an_error_that_names_the_ways_out(spec, environ, tmp_path):
    published(tmp_path / "out")
    with pytest.raises(SpecError, match=r"is not empty.* output\.if_exists to new_version, or to replace"):
        make_plan(spec("output: {path: out}\n"), [], Cluster.SLURM, environ)


@pytest.mark.parametrize(("taken", "version"), [([], "out"), (["out"], "out-2"), (["out", "out-2", "out-4"], "out-3")])
def test_a_new_version_goes_to_the_first_free_folder(spec, environ, tmp_path, taken, version):
    for name in taken:
        published(tmp_path / name)
    (tmp_path / "out-3").mkdir()
    path = spec("output: {path: out, if_exists: new_version}\n")
    plan = make_plan(path, [], Cluster.SLURM, environ)
    assert plan.spec.output.path == str(tmp_path / version)
    assert ("new_version, since out is taken" in plan.origins["output.path"]) == bool(taken)
    published(tmp_path / version / "later")
    assert replan(plan, "r", [], environ).spec.output.path == plan.spec.output.path, "a retry stays where the run began"


@pytest.mark.parametrize("length", [255, 300])
def test_a_version_that_cannot_be_looked_at_is_an_error_and_no_endless_search(spec, environ, tmp_path, length):
    name = "x" * length
    if length == 255:
        published(tmp_path / name)  # it is taken, and the name of a further version is too long
    path = spec(f"output: {{path: {name}, if_exists: new_version}}\n")
    with pytest.raises(SpecError, match=r"`output\.path`: a name is too long for the storage"):
        make_plan(path, [], Cluster.SLURM, environ)


def test_a_folder_that_another_run_will_fill_is_not_free(spec, environ, tmp_path):
    reading = spec_file.read(spec("output: {path: out, if_exists: new_version}\n"))
    claimed = {tmp_path / "out", tmp_path / "out-2"}
    plan = plan_of(reading, tmp_path, Cluster.SLURM, environ, claimed=lambda _: claimed)
    assert plan.spec.output.path == str(tmp_path / "out-3")
    assert "the outputs go to" in str(reading.warnings()[0])


def test_what_an_earlier_run_has_published_may_be_replaced(spec, environ, tmp_path):
    published(tmp_path / "out")
    reading = spec_file.read(spec("output: {path: out, if_exists: replace}\n"))
    assert plan_of(reading, tmp_path, Cluster.SLURM, environ).spec.output.path == str(tmp_path / "out")
    assert "what run 20260101-000000-abcd has published" in str(reading.warnings()[0])


@pytest.mark.parametrize("how", ["foreign", "more", "file"])
def test_anything_else_may_not(spec, environ, tmp_path, how):
    if how == "file":
        (tmp_path / "out").touch()
    else:
        published(tmp_path / "out", **({"run_id": None} if how == "foreign" else {}))
        (tmp_path / "out" / "notes.md").touch()
    words = {"foreign": "was not published by", "more": "it has notes.md", "file": "is a file"}[how]
    with pytest.raises(SpecError, match=words):
        make_plan(spec("output: {path: out, if_exists: replace}\n"), [], Cluster.SLURM, environ)
