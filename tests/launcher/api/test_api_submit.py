"""`curator_slurm.submit`: specs in every form, overrides, and errors fit for users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_slurm import FakeSlurm
from run_dirs import fake_python, keep_element, own_home, write_spec

import curator_slurm
from curator_slurm import Job, PartialSubmissionError, job, submit
from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, SpecError, UsageError
from curator_slurm.launcher.plan.model import Plan

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def spec(fake_slurm: FakeSlurm, tmp_path: Path) -> dict[str, Any]:
    """A spec that a fake Slurm runs, kept pending."""
    keep_element(fake_slurm)
    fake_slurm.pause()
    write_spec(tmp_path, fake_python(tmp_path / "python"))
    content: dict[str, Any] = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    return content


def plan(job: Job) -> Plan:
    return Plan.from_yaml((job.run_dir / "plan.yaml").read_text())


def test_a_path_a_text_and_a_mapping_are_the_same_spec(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "spec.yaml"
    jobs = [submit(each) for each in (path, str(path), "spec.yaml", yaml.safe_dump(spec), spec)]
    plans = [plan(job) for job in jobs]
    assert all(each.spec == plans[0].spec and each.spec_dir == str(tmp_path) for each in plans)
    assert len({job.run_id for job in jobs}) == 5
    record = (jobs[0].run_dir / "run.json").read_text()
    assert str(path) in record
    assert yaml.safe_load((jobs[-1].run_dir / "spec.yaml").read_text()) == spec


def test_overrides_change_the_spec(spec: dict[str, Any], fake_slurm: FakeSlurm) -> None:
    job = submit(spec, overrides={"name": "other", "resources": {"nodes": 2, "time": "1:30:00"}})
    assert (job.name, plan(job).spec.resources.nodes) == ("other", 2)
    assert (job.job_ids, job.job_id) == ([str(fake_slurm.jobs[0].id)], str(fake_slurm.jobs[0].id))


def test_values_of_python_are_those_of_yaml(spec: dict[str, Any], tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """A Path in a mapping was no value of YAML, though one in `overrides` was."""
    nodes, output = np.int64(2), {"path": tmp_path / "out"}
    made = submit(
        {**spec, "resources": {"nodes": nodes}, "output": output}, overrides={"resources.cpus_per_node": nodes}
    )
    asked = plan(made).spec
    assert (asked.resources.nodes, asked.resources.cpus_per_node) == (2, 2)
    assert asked.output.path == str(tmp_path / "out")
    assert job(fake_slurm.jobs[0].id).run_dir == made.run_dir


def test_secrets_come_from_the_environment_given(spec: dict[str, Any]) -> None:
    spec["environment"]["secrets"] = ["TOKEN"]
    with pytest.raises(CuratorSlurmError, match="TOKEN"):
        submit(spec, environ={})
    job = submit(spec, environ={"TOKEN": "hush", "HOME": "/"})
    assert "hush" in (job.run_dir / "secrets" / "environment.json").read_text()


def test_every_error_of_a_spec_is_told_and_nothing_is_written(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        submit({**spec, "nmae": "x"}, overrides={"resources.nodes": -1})
    assert {problem.key for problem in caught.value.problems} == {"nmae", "resources.nodes"}
    with pytest.raises(SpecError, match="no such file"):
        submit(tmp_path / "missing.yaml")
    with pytest.raises(UsageError, match="YAML cannot hold, a object: <object"):
        submit({**spec, "name": object()})
    itself: dict[str, Any] = {}
    itself["args"] = itself
    with pytest.raises(UsageError, match="part of itself"):
        submit({**spec, "pipeline": itself})
    with pytest.raises(UsageError, match="overrides: a mapping is expected"):
        submit(spec, overrides=["resources.nodes=2"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'pbs'"):
        submit(spec, cluster="pbs")
    assert not (tmp_path / "runs").exists()


def test_a_refusal_is_an_error_and_leaves_nothing(spec: dict[str, Any], fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr="sbatch: error: invalid partition specified: nope\n")
    with pytest.raises(SlurmError, match=r"resources\.partition"):
        submit(spec)
    assert not list((tmp_path / "runs").rglob("run.json"))


def test_options_that_sbatch_does_not_get_are_noted(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBATCH_QOS", "high")
    monkeypatch.chdir(tmp_path)
    assert submit(spec).notes == ("not passed on to sbatch: SBATCH_QOS",)
    assert capfd.readouterr() == ("", "")


def test_a_part_of_a_sharded_run_is_told_with_its_handle(
    spec: dict[str, Any], fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("x")
    sharded = {**spec, "input": {"paths": [f"{tmp_path}/*.txt"]}, "shards": {"files_per_shard": 1}}
    fake_slurm.configure(max_submit_jobs=2)
    with pytest.raises(PartialSubmissionError, match="2 shards are not submitted") as caught:
        submit(sharded)
    assert len(caught.value.job.job_ids) == 1
    assert isinstance(caught.value.__cause__, SlurmError)
    fake_slurm.configure(max_submit_jobs=None)
    assert len(caught.value.job.retry().job_ids) == 2


def test_the_package_is_light_until_the_api_is_used() -> None:
    code = (
        "import sys, curator_slurm\n"
        "assert set(curator_slurm.__all__) <= set(dir(curator_slurm)) and curator_slurm.__version__\n"
        "ours = sorted(name for name in sys.modules if name.startswith('curator_slurm'))\n"
        "assert ours == ['curator_slurm', 'curator_slurm.launcher', 'curator_slurm.launcher._version'], ours\n"
        "curator_slurm.submit, curator_slurm.job\n"
        "heavy = {'ray', 'pandas', 'pyarrow', 'numpy', 'torch', 'cosmos_xenna', 'nemo_curator'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        getattr(curator_slurm, "sumbit")  # noqa: B009


def test_the_module_runs_the_command_line(tmp_path: Path) -> None:
    """Also beside modules that have the names of others."""
    for name in ("click", "yaml", "json"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError")
    command = [sys.executable, "-m", "curator_slurm", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"curator-slurm {curator_slurm.__version__}\n"
