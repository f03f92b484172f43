"""The container of a plan: what starts it, what it sees, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator_slurm.launcher.environments import charliecloud
from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan import container_paths, containers
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.site import layers
from curator_slurm.launcher.site.specs import read_spec_text

Make = Callable[..., Plan]


@pytest.fixture
def said() -> list[str]:
    """What has been noted of the newest plan."""
    return []


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Make:
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setattr(containers, "_SHARED_MEMORY", "/shared-memory")  # tests may lie in the real one
    monkeypatch.setattr(container_paths, "_OF_IMAGES", ("/usr", "/opt"))
    for name in ("runs", "in", "models", "images/root/bin", "images/empty"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_text("{}\n")
    (tmp_path / "images" / "a.sqsh").write_text("")

    def make(container: Any, site: str = "", cluster: Cluster = Cluster.SLURM, **sections: Any) -> Plan:
        environ = {"HOME": str(tmp_path)}
        if site:
            path = tmp_path / "site.yaml"
            path.write_text(site)
            path.chmod(0o644)
            environ["CURATOR_SLURM_SITE"] = str(path)
        spec = {
            "name": "x",
            "pipeline": {"command": "true"},
            "storage": {"runs": str(tmp_path / "runs"), "node_local": "/local/${SLURM_JOB_ID}"},
            **sections,
        }
        spec["environment"] = {**spec.get("environment", {}), "container": container}
        reading, below = read_spec_text(yaml.safe_dump(spec), "s.yaml", tmp_path, (), environ)
        made = plan_of(reading, tmp_path, cluster, environ, layers=below)
        said[:] = [note.message for note in reading.warnings()]
        return made

    return make


def words(plan: Plan) -> str:
    (start,) = plan.containers
    return " ".join(start.words)


def refused(make: Make, *arguments: Any, **sections: Any) -> str:
    with pytest.raises(SpecError) as error:
        make(*arguments, **sections)
    return str(error.value)


def test_what_a_run_needs_is_mounted_by_itself(plan: Make, tmp_path: Path) -> None:
    made = plan(
        {"image": "a.io/x:1", "runtime": "apptainer"},
        input={"paths": ["in/*.jsonl"]},
        output={"path": "new/out"},
        pipeline={"stages": [{"use": "a:B"}], "checkpoint_path": "models/state"},
    )
    bound = [word for word in made.containers[0].words if ":" in word and word.startswith("/")]
    assert bound == [
        "/shared-memory:/shared-memory",
        "/local/${SLURM_JOB_ID}:/local/${SLURM_JOB_ID}",
        f"{tmp_path}:{tmp_path}",  # of output.path: it is there, and all else is in it
    ]
    made = plan({"image": "a.io/x:1", "runtime": "apptainer"}, input={"paths": ["in/*.jsonl", "in/a.jsonl"]})
    assert f"--bind {tmp_path}/in:{tmp_path}/in:ro" in words(made)
    assert f"--bind {tmp_path}/runs:{tmp_path}/runs " in words(made)


def test_a_folder_is_there_by_the_name_that_it_has_and_by_the_one_it_leads_to(plan: Make, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "in")
    made = words(plan({"image": "a.io/x:1", "runtime": "apptainer"}, input={"paths": ["link/a.jsonl"]}))
    assert f"{tmp_path}/link:{tmp_path}/link:ro" in made
    assert f"{tmp_path}/in:{tmp_path}/in:ro" in made


def test_a_text_is_the_image_and_the_script_starts_it(plan: Make) -> None:
    made = plan("a.io/x:1", "container: {runtimes: [edf, shifter]}")
    assert [start.runtime for start in made.containers] == ["shifter"]
    assert "words=(shifter --image=docker:a.io/x:1" in render(made)
    assert Plan.from_yaml(made.to_yaml()) == made


def test_without_a_container_plan_and_script_say_nothing_of_it(plan: Make) -> None:
    made = plan(None)
    assert "containers:" not in made.to_yaml()
    assert "start_inside" not in render(made)
    assert "PACKAGE" not in render(made)


def test_pyxis_is_options_of_srun_and_auto_asks_srun_for_them(plan: Make) -> None:
    asked = render(plan({"image": "images/a.sqsh", "runtime": "pyxis"}))
    assert "srun --help" not in asked
    assert "enter_container" in asked
    automatic = plan("images/a.sqsh")
    assert [start.runtime for start in automatic.containers][:2] == ["pyxis", "apptainer"]
    assert "if srun --help" in render(automatic)
    local = plan("images/a.sqsh", cluster=Cluster.LOCAL)
    assert local.containers[0].runtime == "apptainer"


def test_images_of_the_site_are_found_by_their_names(plan: Make, tmp_path: Path) -> None:
    site = f"container: {{runtimes: [enroot], images: {tmp_path}/images, env: {{A: b}}, gpu_options: [--ipc]}}"
    made = plan({"image": "a.sqsh", "env": {"C": "d"}}, site, resources={"gpus_per_node": 1})
    assert made.containers[0].words[-2:] == ["--ipc", f"{tmp_path}/images/a.sqsh"]
    assert made.container_env == {"A": "b", "C": "d"}
    assert "export A=b\nexport C=d" in render(made)


def test_a_path_that_no_mount_covers_is_an_error_that_names_the_mount(plan: Make, tmp_path: Path) -> None:
    stages = {
        "stages": [{"use": "a:B", "with": {"model": f"{tmp_path}/models", "other": "/usr/share/x", "n": "/no/no"}}]
    }
    said = refused(plan, {"image": "a.io/x:1", "runtime": "apptainer"}, pipeline=stages)
    assert f"`pipeline.stages.0.with.model`: {tmp_path}/models is not in the container" in said
    assert f"environment.container.mounts: [{tmp_path}/models]" in said
    assert said.count("is not in the container") == 1
    mounted = {"image": "a.io/x:1", "runtime": "apptainer", "mounts": ["models"]}
    assert f"{tmp_path}/models:{tmp_path}/models" in words(plan(mounted, pipeline=stages))
    elsewhere = refused(plan, {**mounted, "mounts": ["models:/models"]}, pipeline=stages)
    assert "is not in the container" in elsewhere
    env = {"HF_HOME": f"{tmp_path}/models"}
    assert "environment.env.HF_HOME" in refused(
        plan, {"image": "a.io/x:1", "runtime": "apptainer"}, environment={"env": env}
    )


@pytest.mark.parametrize(
    "command", [["python", "{}/models/x.py"], "python {}/models/x.py --quiet", "run --file={}/models/x.py"]
)
def test_words_of_a_command_may_be_such_paths(plan: Make, tmp_path: Path, command: Any) -> None:
    (tmp_path / "models/x.py").touch()
    text = json.loads(json.dumps(command).replace("{}", str(tmp_path)))
    said = refused(plan, {"image": "a.io/x:1", "runtime": "apptainer"}, pipeline={"command": text})
    assert f"`pipeline.command`: {tmp_path}/models/x.py is not in the container" in said
    assert f"environment.container.mounts: [{tmp_path}/models]" in said
    mounted = {"image": "a.io/x:1", "runtime": "apptainer", "mounts": ["models"]}
    assert plan(mounted, pipeline={"command": text})


def test_a_file_beside_the_spec_is_not_in_the_container_by_itself(plan: Make, tmp_path: Path) -> None:
    (tmp_path / "x.py").touch()
    image = {"image": "a.io/x:1", "runtime": "apptainer"}
    said = refused(plan, image, pipeline={"command": ["python", "x.py"]})
    assert f"{tmp_path}/x.py is not in the container" in said
    assert plan({**image, "mounts": [str(tmp_path)]}, pipeline={"command": ["python", "x.py"]})
    assert plan(image, pipeline={"command": ["python", "-c", f"open('x.py'), '{tmp_path}/in'", "y.py", "x" * 5000]})


def test_charliecloud_must_find_the_targets_of_mounts_in_a_folder(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charliecloud, "SHARED", ("/shared-memory", "/local"))
    image = {"image": "./images/root", "runtime": "charliecloud", "mounts": ["models:/models"]}
    said = refused(plan, image)
    root = f"{tmp_path}/images/root"
    assert f"mkdir -p {root}/models {root}{tmp_path}/runs;" in said
    (tmp_path / "images/root/models").mkdir()
    Path(f"{root}{tmp_path}/runs").mkdir(parents=True)
    assert plan(image)
    Path(f"{root}{tmp_path}/runs").rmdir()
    assert plan({**image, "writable": True})
    assert plan({**image, "runtime": "podman"})


def test_a_variable_may_be_a_list_of_paths(plan: Make, tmp_path: Path) -> None:
    env = {"PYTHONPATH": f"/usr/lib:{tmp_path}/models"}
    said = refused(plan, {"image": "a.io/x:1", "runtime": "apptainer"}, environment={"env": env})
    assert f"`environment.env.PYTHONPATH`: {tmp_path}/models is not in the container" in said


@pytest.mark.parametrize(
    ("container", "env", "expected"),
    [
        ("/no/such/folder/a.sif", {}, "/no/such/folder/a.sif is not there on this machine"),
        (
            {"image": "a.io/x:1", "env": {"TOKEN": "x", "NVIDIA_VISIBLE_DEVICES": "all"}},
            {},
            "what runs inside gets TOKEN",
        ),
        ("a.io/x:1", {"HF_HOME": "$HOME/models"}, "`environment.env.HF_HOME` is passed on as it stands, $HOME and all"),
    ],
)
def test_what_looks_like_a_mistake_is_noted(
    plan: Make, container: Any, env: dict[str, str], expected: str, said: list[str]
) -> None:
    plan(container, "container: {runtimes: [apptainer]}", environment={"env": env})
    assert [line for line in said if expected in line], said


def test_words_of_the_site_without_mounts_must_have_them_all(plan: Make, tmp_path: Path) -> None:
    site = "container: {runtimes: [command], command: ['--environment={image}']%s}"
    said = refused(plan, "edf", site % "")
    assert f"`storage.runs`: {tmp_path}/runs is not in the container" in said
    made = plan("edf", site % f", binds: [{tmp_path}, /local]")
    assert made.containers[0].on_srun
    assert "container=(--environment=edf)" in render(made)


@pytest.mark.parametrize(
    ("container", "site", "sections", "expected"),
    [
        (
            {"image": "images/a.sqsh", "runtime": "podman"},
            "",
            {},
            "which podman cannot start; pyxis, enroot, apptainer",
        ),
        ({"image": "a.io/x", "runtime": "command"}, "", {}, "no site file says how it is started"),
        ("a.io/x", "container: {runtimes: [command], command: ['{imge}']}", {}, "{imge}, which stands for nothing"),
        ({"image": "a.io/x", "runtime": "pyxis"}, "", {"environment": {"modules": ["m"]}}, "no module command"),
        ({"image": "a.io/x", "runtime": "pyxis"}, "", {"cluster": Cluster.LOCAL}, "this runs without"),
        ({"image": "images/b.sqsh", "runtime": "enroot"}, "", {}, "images/b.sqsh does not exist"),
        ({"image": "images/root", "runtime": "podman"}, "", {}, "/images/root is meant, write ./images/root"),
        ({"image": "./images/empty", "runtime": "podman"}, "", {}, "is no root file system: it has no bin"),
        ({"image": "./in/a.jsonl", "runtime": "podman"}, "", {}, "a.jsonl is a file, and its name does not say"),
        ({"image": "a.io/x", "mounts": ["/a:/b:z"]}, "", {}, "must be a path, or source:target"),
        ({"image": "a.io/x", "mounts": ["/a b"]}, "", {}, "has a comma or a blank"),
        ({"image": "a.io/x", "mounts": ["/a:b"]}, "", {}, "must begin with /"),
        ({"image": "a.io/x", "runtime": "docker"}, "", {}, "runtime"),
        ({"runtime": "pyxis"}, "", {}, "environment.container.image"),
    ],
)
def test_what_makes_no_container_is_refused(
    plan: Make, container: Any, site: str, sections: dict[str, Any], expected: str
) -> None:
    assert expected in refused(plan, container, site, **sections)


def test_an_image_has_its_own_paths(plan: Make) -> None:
    """No error about a venv that this machine does not have."""
    made = plan("a.io/x:1", environment={"venv": "/opt/venv"})
    assert "python=/opt/venv/bin/python" in render(made)
    assert made.python is not None
    assert Path(made.python).is_absolute()  # of what runs outside, such as the collect job


GROUPS = {
    "groups": [
        {"name": "cpu", "nodes": 2, "partition": "batch"},
        {"name": "gpu", "nodes": 1, "partition": "gpu", "gpus_per_node": 4},
    ]
}
DISKS = "partitions: {batch: {}, gpu: {gpus: 4, node_local: /nvme}}"


def test_groups_share_the_words_that_start_their_containers(plan: Make) -> None:
    """What only the nodes of one have is refused before a runtime refuses it there, without a word of why."""
    storage = {"node_local": "/local"}
    apptainer, podman = ({"image": "a.io/x:1", "runtime": name} for name in ("apptainer", "podman"))
    assert "--nv" in words(plan(apptainer, resources=GROUPS, storage=storage))
    assert "podman gives a container the GPUs as devices, which nodes of group cpu have not" in refused(
        plan, podman, resources=GROUPS, storage=storage
    )
    everywhere = [{**group, "gpus_per_node": 4} for group in GROUPS["groups"]]
    assert "--device=nvidia.com/gpu=all" in words(plan(podman, resources={"groups": everywhere}, storage=storage))
    assert plan(podman, "container: {runtimes: [podman], gpu_options: []}", resources=GROUPS, storage=storage)


def test_groups_with_other_folders_on_their_nodes_share_no_mounts(plan: Make) -> None:
    image = {"image": "a.io/x:1", "runtime": "apptainer"}
    assert "`storage.node_local` is /tmp in group cpu, /nvme in group gpu by the site" in refused(
        plan, image, DISKS, resources=GROUPS, storage={}
    )
    named = words(plan(image, DISKS, resources=GROUPS, storage={"node_local": "/tmp"}))
    assert "--bind /tmp:/tmp" in named
    assert "/nvme" not in named
    assert plan(image, DISKS, resources=GROUPS, storage={}, cluster=Cluster.LOCAL)
