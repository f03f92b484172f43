"""Which dashboard of a run there is, and the one command for it; or why there is none."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from run_dirs import new_attempt, new_run, outcome, own_home, submit_again

from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.operations import reach_dashboard
from curator_slurm.launcher.operations.reach_dashboard import command_for, find_dashboard, step_of
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.run_decision import RunStatus

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "fake_slurm")


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, RunState]:
    """What `status` says of every run."""
    said = {"state": RunState.RUNNING}
    monkeypatch.setattr(reach_dashboard, "status_of", lambda _: RunStatus(state=said["state"]))
    return said


def plan(folder: Path, **sections: Any) -> Plan:
    spec = {
        "name": "demo",
        "pipeline": {"command": "true"},
        "storage": {"runs": str(folder / "runs")},
        "cluster": {"dashboard": True},
        **sections,
    }
    return Plan(
        version="1", cluster=Cluster.SLURM, spec=Spec.model_validate(spec), spec_dir=str(folder), python=sys.executable
    )


def running(folder: Path, the_plan: Plan) -> tuple[Run, AttemptPaths]:
    run = submit_again(new_run(folder), "4711")
    run.paths.plan.write_text(the_plan.to_yaml())
    return run, with_dashboard(run, "4711")


def with_dashboard(run: Run, job: str) -> AttemptPaths:
    attempt = new_attempt(run, job)
    write_json(attempt.cluster.cluster, {"head": "n7", "dashboard": "127.0.0.1:20004"})
    return attempt


def refusal(run: Run, shard: int | None = None) -> str:
    with pytest.raises(UsageError) as error:
        find_dashboard(run, shard)
    return str(error.value)


def test_one_command_by_ssh_or_by_a_step(tmp_path: Path) -> None:
    run, _ = running(tmp_path, plan(tmp_path))
    target = find_dashboard(run)
    assert (target.job, target.head, target.port, target.by_srun) == ("4711", "n7", 20004, False)
    by_ssh = shlex.split(command_for(target, 9000, by_srun=False))
    assert by_ssh[:4] == ["ssh", "-N", "-L", "localhost:9000:127.0.0.1:20004"]
    assert by_ssh[-1].endswith("@n7")
    by_srun = shlex.split(command_for(target, 9000, by_srun=True))
    assert by_srun[3] == f"localhost:9000:{target.socket}"
    assert shlex.split(by_srun[-1])[1:] == ["-m", "curator_slurm", "dashboard", str(run.paths.root), "--tunnel"]
    step = step_of(target)
    assert {"--jobid=4711", "--overlap", "--nodelist=n7", "20004"} <= set(step)
    assert not [word for word in (*by_ssh, *by_srun, *step) if "token" in word]


def test_a_site_without_ssh_to_its_nodes_says_so(tmp_path: Path) -> None:
    site = {"network": {"ssh_to_nodes": False}}
    run, _ = running(tmp_path, plan(tmp_path).model_copy(update={"site": site}))
    assert find_dashboard(run).by_srun


def test_a_run_without_one(tmp_path: Path) -> None:
    run, _ = running(tmp_path, plan(tmp_path, cluster={}))
    assert "--set cluster.dashboard=true" in refusal(run)


@pytest.mark.parametrize("now", [RunState.PENDING, RunState.COMPLETED, RunState.UNKNOWN])
def test_a_run_that_does_not_run(tmp_path: Path, state: dict[str, RunState], now: RunState) -> None:
    run, _ = running(tmp_path, plan(tmp_path))
    state["state"] = now
    assert f"is {now}" in refusal(run)


def test_a_ray_that_is_not_there_yet_or_any_more(tmp_path: Path) -> None:
    run, attempt = running(tmp_path, plan(tmp_path))
    attempt.cluster.cluster.unlink()
    assert "has begun yet" in refusal(run)
    write_json(attempt.cluster.cluster, {"head": "n7", "dashboard": None})
    assert "without a dashboard" in refusal(run)
    outcome(attempt)
    assert "or it has ended" in refusal(run)


def test_of_several_elements_one_is_chosen_by_its_shard(tmp_path: Path) -> None:
    run, _ = running(tmp_path, plan(tmp_path))
    other = with_dashboard(run, "4712")
    other.cluster.attempt(5).root.mkdir(parents=True)
    assert "--shard N" in refusal(run)
    target = find_dashboard(run, 5)
    assert target.job == "4712"
    assert "--shard 5" in command_for(target, 9000, by_srun=True)
    assert "no Ray of shard 6" in refusal(run, 6)


def test_a_heterogeneous_job_has_ssh_alone(tmp_path: Path) -> None:
    groups = [{"name": "a", "nodes": 1}, {"name": "b", "nodes": 1}]
    run, _ = running(tmp_path, plan(tmp_path, resources={"nodes": 2, "groups": groups}))
    target = find_dashboard(run)
    assert command_for(target, 9000, by_srun=False)
    with pytest.raises(UsageError, match="heterogeneous"):
        step_of(target)
