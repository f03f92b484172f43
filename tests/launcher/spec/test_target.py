"""Stages with `_target_`, executors by class, NeMo Curator's files and checkpoints: what a spec says about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_slurm.launcher.driver.instantiate import instantiate
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.pipeline_loader import build_stage, import_named
from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.spec_file import read_string
from curator_slurm.launcher.spec.target import entry_of

JSONL = "curator_slurm.executors.stages.io.jsonl_reader.JsonlReader"


def spec(pipeline: str, more: str = "") -> Spec:
    reading = read_string(f"name: x\npipeline: {pipeline}\n{more}", "s.yaml")
    assert not reading.problems
    assert reading.spec is not None
    return reading.spec


def problems(pipeline: str, more: str = "") -> list[str]:
    return [problem.message for problem in read_string(f"name: x\npipeline: {pipeline}\n{more}", "s.yaml").problems]


@pytest.mark.parametrize(
    ("target", "entry"),
    [
        ("a.b.Class", "a.b:Class"),
        ("a.b.Class.make", "a.b:Class.make"),
        ("a.b.function", "a.b:function"),
        ("Top.level", "Top:level"),
    ],
)
def test_where_the_name_begins(target: str, entry: str) -> None:
    assert entry_of(target) == entry


def test_a_target_is_a_stage_with_its_arguments() -> None:
    text = f"{{stages: [{{_target_: {JSONL}, file_paths: [a], resources: {{_target_: x.Resources, cpus: 2}}}}]}}"
    (stage,) = spec(text).pipeline.stages or []
    assert stage.use == "curator_slurm.executors.stages.io.jsonl_reader:JsonlReader"
    assert stage.with_ == {"file_paths": ["a"]}
    assert stage.resources is not None
    assert stage.resources.cpus == 2


def test_a_frozen_plan_means_the_same() -> None:
    text = f"{{stages: [{{_target_: {JSONL}, file_paths: [a]}}]}}"
    before = spec(text)
    assert Spec.model_validate(before.model_dump(mode="json", by_alias=True)) == before


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("{_target_: a.B, use: 'a:B'}", "either `_target_`"),
        ("{_target_: nothing}", "must be package.module.Class; found 'nothing'"),
        ("{_target_: 3}", "must be package.module.Class"),
        ("{_target_: a.B, path: '${output_di}'}", "did you mean `${output_dir}`?"),
        ("{_target_: a.B, deep: {x: ['${input.files}']}}", "requires `input.paths`"),
        ("{_target_: a.B, resources: {cpu: 1}}", "resources.cpu"),
    ],
)
def test_errors_in_targets(stage: str, message: str) -> None:
    (found,) = problems(f"{{stages: [{stage}]}}")
    assert message in found


def test_targets_inside_of_arguments() -> None:
    value = {
        "path": {"_target_": "pathlib.PurePosixPath", "_args_": ["a", "b"]},
        "later": {"_target_": "builtins.int", "_partial_": True, "base": 2, "_convert_": "all"},
        "list": [{"_target_": "datetime.timedelta", "hours": 1}, 2],
    }
    made = instantiate(value, lambda entry: import_named(entry, "with"))
    assert str(made["path"]) == "a/b"
    assert made["later"]("101") == 5
    assert made["list"][0].total_seconds() == 3600


def test_a_stage_is_built_with_them(tmp_path: Path) -> None:
    text = (
        "{stages: [{_target_: curator_slurm.executors.stages.JsonlWriter, name: mine, resources: {cpus: 0.5}, "
        "path: {_target_: pathlib.Path, _args_: ['${output_dir}']}}]}"
    )
    (stage,) = spec(text).pipeline.stages or []
    made = build_stage(stage, "pipeline.stages[0]", {"output_dir": str(tmp_path)})
    assert (made.path, made.name, made.resources.cpus) == (str(tmp_path), "mine", 0.5)


STAGE = "use: curator_slurm.executors.stages:JsonlWriter, with: {path: /x}"


@pytest.mark.parametrize("count", [3, 0.5])
def test_workers_for_each_node(count: float) -> None:
    (stage,) = spec(f"{{stages: [{{{STAGE}, num_workers_per_node: {count}}}]}}").pipeline.stages or []
    made = build_stage(stage, "pipeline.stages[0]", {})
    assert (made.num_workers_per_node(), made.num_workers()) == (count, None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("num_workers_per_node: 0", "must be more than 0"),
        ("num_workers_per_node: true", "must be a number"),
        ("num_workers: 2, num_workers_per_node: 1", "either `num_workers` or `num_workers_per_node`; found both"),
        ("num_workers_per_node: 1, xenna_stage_spec: {num_workers_per_node: 1}", "give it once"),
    ],
)
def test_workers_for_each_node_given_wrongly(more: str, message: str) -> None:
    (found,) = problems(f"{{stages: [{{{STAGE}, {more}}}]}}")
    assert message in found


class Older:
    """A stage as of an older NeMo Curator, whose with_() does not know the setting."""

    name = "older"

    def with_(self, num_workers: int | None = None) -> Older:
        return self


def test_a_setting_that_a_stage_does_not_know() -> None:
    (stage,) = spec(f"{{stages: [{{use: '{__name__}:Older', num_workers_per_node: 2}}]}}").pipeline.stages or []
    with pytest.raises(PipelineLoadError, match=r"with_\(\) of .*:Older does not take num_workers_per_node") as found:
        build_stage(stage, "pipeline.stages[0]", {})
    assert "newer version" in found.value.next_step


def test_executors_by_class() -> None:
    theirs = "executor: {backend: 'nemo_curator.backends.xenna:XennaExecutor', config: {anything: 1}}\n"
    assert spec("{entry: 'a:b'}", theirs).uses_xenna
    assert not spec("{entry: 'a:b'}", "executor: {backend: 'my.own:Executor'}\n").uses_xenna
    (found,) = problems("{entry: 'a:b'}", "executor: {backend: my.own.Executor}\n")
    assert "module:Class of another executor, such as nemo_curator" in found


def plan(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: x\n{text}")
    try:
        make_plan(path, [], Cluster.LOCAL, {"HOME": str(tmp_path)}, "/py")
    except SpecError as error:
        return [problem.message for problem in error.problems]
    return []


def test_what_is_not_there_is_told_before_submission(tmp_path: Path) -> None:
    backend = "pipeline: {entry: 'a:b'}\nexecutor: {backend: 'no_such_package.x:Executor'}\n"
    assert plan(tmp_path, backend) == ["`executor.backend`: there is no module 'no_such_package' in this environment"]
    (tmp_path / "no_such_package.py").touch()
    assert plan(tmp_path, backend) == []
    assert plan(tmp_path, f"{backend}environment: {{conda: other}}\n") == []
    (found,) = plan(tmp_path, "pipeline: {file: nowhere.yaml}\n")
    assert found == f"`pipeline.file`: {tmp_path}/nowhere.yaml does not exist"


def test_checkpoints(tmp_path: Path) -> None:
    assert plan(tmp_path, "pipeline: {entry: 'a:b', checkpoint_path: kept}\n") == []
    (tmp_path / "file").touch()
    assert "is a file" in plan(tmp_path, "pipeline: {entry: 'a:b', checkpoint_path: file}\n")[0]
    assert "must be a folder" in plan(tmp_path, "pipeline: {entry: 'a:b', checkpoint_path: 's3://b/c'}\n")[0]
    (found,) = problems("{command: x, checkpoint_path: kept}")
    assert "cannot be used with `pipeline.command`" in found
    for where in ("entry: 'a:b', args: {out: '${output_dir}/x'}", "stages: [{_target_: a.B, path: '${output_dir}'}]"):
        (found,) = problems(f"{{{where}, checkpoint_path: kept}}")
        assert "write to a folder of your own" in found


@pytest.mark.parametrize(
    ("pipeline", "more", "dashboard"),
    [
        ("{entry: 'a:b'}", "", "off"),
        ("{entry: 'a:b'}", "executor: {backend: xenna, config: {resource_monitor: true}}\n", "state"),
        ("{entry: 'a:b'}", "executor: {backend: 'my.own:Executor'}\n", "state"),
        ("{command: [python, prog.py]}", "", "state"),
        ("{command: [python, prog.py]}", "cluster: {dashboard: false}\n", "off"),
        ("{entry: 'a:b'}", "cluster: {dashboard: true}\n", "full"),
    ],
)
def test_rays_dashboard_is_there_for_those_who_ask_for_it(pipeline: str, more: str, dashboard: str) -> None:
    """cosmos-xenna asks for Ray's states, and a command or somebody else's executor may be of it."""
    assert spec(pipeline, more).dashboard == dashboard
