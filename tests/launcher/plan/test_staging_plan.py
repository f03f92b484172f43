"""What a plan says about staging: how nodes copy, what is wrong with it, and what it does less than it seems."""

import sys

import pytest
import yaml

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import make_plan, plan_of
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.plan.staging import notes, staged_roots, staging_choice
from curator_slurm.launcher.site.specs import read_spec_text

STAGED = "environment: {stage: node_local"


@pytest.fixture
def plan(tmp_path):
    """Make the plan of a spec with these lines."""

    def make(text="", cluster=Cluster.SLURM):
        path = tmp_path / "spec.yaml"
        path.write_text(f"name: demo\npipeline: {{command: echo hi}}\n{text}")
        environ = {"HOME": str(tmp_path), "USER": "ann", "CURATOR_SLURM_RUNS": str(tmp_path / "runs")}
        return make_plan(path, [], cluster, environ)

    return make


def test_nothing_is_staged_unless_asked_for(plan):
    made = plan()
    assert staging_choice(made) is None
    assert not [key for key in yaml.safe_load(made.to_yaml())["spec"]["environment"] if key.startswith("stage")]
    assert "stage" not in render(made).replace("staged by curator", "")


def test_this_machine_alone_has_everything_already(plan):
    made = plan(f"{STAGED}}}\n", Cluster.LOCAL)
    assert staging_choice(made) is None
    assert "stage_software" not in render(made)


def test_how_nodes_copy(plan):
    made = plan(f"{STAGED}, stage_size: 1G, stage_days: 3}}\nstorage: {{node_local: /local}}\n")
    choice = staging_choice(made)
    assert (choice.folder, choice.most, choice.days, choice.keeps) == ("/local", str(1 << 30), "3", True)
    assert "--days 3" in render(made)
    assert "end_staging\n    exit" not in render(made)
    assert staging_choice(Plan.from_yaml(made.to_yaml())) == choice
    assert staged_roots(made, sys.executable)[0].path == sys.prefix


@pytest.mark.parametrize(
    "text",
    [
        f"{STAGED}, stage_days: 0}}\n",
        f"{STAGED}}}\nstorage: {{node_local: '/local/${{SLURM_JOB_ID}}'}}\n",
    ],
)
def test_copies_that_go_with_the_run(plan, text):
    made = plan(text)
    assert not staging_choice(made).keeps
    assert "    end_staging\n    exit" in render(made)


def test_the_job_of_an_image_copies_data_alone(plan, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "image/bin").mkdir(parents=True)
    made = plan(f"{STAGED}, stage_paths: models, container: ./image}}\n")
    assert not staging_choice(made).has_software
    assert [root.path for root in staged_roots(made, sys.executable)] == [str(tmp_path / "models")]
    assert "PYTHONPATH=$run_dir/package" in render(made)


def test_an_image_alone_is_said_to_be_staged_by_its_runtime(plan, tmp_path):
    (tmp_path / "image/bin").mkdir(parents=True)
    made = plan(f"{STAGED}, container: ./image}}\n")
    assert staging_choice(made) is None
    assert "the software is in the image" in dict(notes(made))["environment.stage"]


def test_the_systems_python_is_said_to_stay(plan):
    made = plan(f"{STAGED}, python: /usr/bin/python3}}\n")
    assert "every node has itself" in dict(notes(made))["environment.stage"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("environment: {stage_paths: [data]}", "set that, or leave them out"),
        (f"{STAGED}, stage_paths: [missing]}}", "does not exist"),
        (f"{STAGED}, stage_paths: [spec.yaml]}}", "is a file; name its folder"),
        (f"{STAGED}, stage_paths: [/usr/share]}}", "every node has itself"),
        ("environment: {stage: local}", "stage"),
        (f"{STAGED}, stage_size: much}}", "must be a size"),
        (f"{STAGED}, stage_days: -1}}", "stage_days"),
    ],
)
def test_what_is_wrong(plan, tmp_path, text, message):
    (tmp_path / "data").mkdir()
    with pytest.raises(SpecError, match=message):
        plan(text + "\n")


def test_groups_have_their_copies_in_one_folder(tmp_path):
    """That of the run, which the nodes of a group may not have: it is said."""
    site = tmp_path / "site.yaml"
    site.write_text("partitions: {batch: {}, fast: {node_local: /nvme}}\n")
    site.chmod(0o644)
    environ = {"HOME": str(tmp_path), "CURATOR_SLURM_SITE": str(site)}
    groups = "resources: {groups: [{name: cpu, partition: batch}, {name: io, partition: fast}]}\n"
    spec = f"name: demo\npipeline: {{command: echo hi}}\n{STAGED}}}\n{groups}"
    reading, below = read_spec_text(spec, "s.yaml", tmp_path, (), environ)
    made = plan_of(reading, tmp_path, Cluster.SLURM, environ, layers=below)
    said = [message for key, message in notes(made) if "group" in message]
    assert said == ["`environment.stage`: nodes of group io, too, have their copies in /tmp, if they have that folder"]
