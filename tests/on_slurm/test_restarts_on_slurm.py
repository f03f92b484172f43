"""Runs that need longer than their partition's time limit end complete by themselves, and what cannot succeed stops."""

from __future__ import annotations

import json
from typing import Any

import pytest

from on_slurm.noted_runs import Noted
from on_slurm.planted_faults import gpu_tool
from on_slurm.runs import SMALL, Runs

LIMIT_S = 120
"""Of the partition `short`; a quarter of it is for draining, and Ray's start takes its part, too."""
MECHANISMS = ("requeue", "resubmit", "chain")
AT_MOST_TWICE = 0.15
DIES_AT_BIRTH: dict[str, Any] = {
    "name": "birth",
    "pipeline": {"command": ["bash", "-c", "kill -9 $PPID"]},
    "cluster": {"ray": False},
    "restart": {"mechanism": "resubmit", "backoff_s": 0},
    "resources": {"nodes": 1, "cpus_per_node": 1, "mem_per_node": "400M", "time": 2},
}
"""Its agent is killed, which is taken for a fault of the node."""
RAY_DIES = (
    "[[ $(hostname -s) != n1 ]] || setsid bash -c "
    "'until pgrep -x raylet; do sleep 0.5; done; sleep 10; pkill -9 -x raylet' </dev/null >/dev/null 2>&1 &"
)
"""For environment.setup: on this node Ray does not live long."""


def assert_complete(noted: Noted, run_id: str, seconds: float) -> str:
    """By itself, after restarts; what each attempt did, for people."""
    done = noted.runs.command("watch", run_id, timeout=300 + 4 * seconds)
    history = noted.runs.command("status", run_id, "--attempts").stdout
    assert done.returncode == 0, done.output + history
    folder = noted.runs.runs_dir / noted.name / run_id
    attempts = [json.loads(path.read_text()) for path in sorted(folder.glob("attempts/*/*/outcome.json"))]
    assert [each["failure_class"] for each in attempts].count("time_limit") == len(attempts) - 1 > 0, history
    assert (noted.lost(folder), noted.doubled(folder)) == (0, 0)
    noted.assert_counted_once(run_id)
    twice = noted.twice()
    assert twice <= AT_MOST_TWICE * noted.sources, f"{twice} sources were done twice\n{history}"
    return f"{noted.name}: {len(attempts)} attempts, {twice} of {noted.sources} sources done twice"


@pytest.mark.parametrize("seconds", [90, pytest.param(600, marks=pytest.mark.faults)])
def test_a_run_is_longer_than_its_time_limit(runs: Runs, seconds: int) -> None:
    """By each mechanism, all of them at once; and beside them one that can only die."""
    pause = seconds / 200
    resources: dict[str, Any] = {**SMALL, "nodes": 1, "partition": "short", "time": LIMIT_S // 60}
    found: dict[str, Noted] = {}
    ids: dict[str, str] = {}
    for mechanism in MECHANISMS:
        noted = found[mechanism] = Noted(runs, 200, mechanism, pause)
        restart: dict[str, Any] = {"mechanism": mechanism, "max_restarts": 20}
        ids[mechanism] = runs.submit(noted.spec("ray_actor_pool", resources=resources, restart=restart))["run_id"]
    birth = runs.submit(DIES_AT_BIRTH)["run_id"]

    dead = runs.watch(birth)
    assert dead.returncode == 6, dead.output
    status = runs.status(birth)
    assert (status["state"], status["failure_class"]) == ("failed", "node_failed"), status
    assert "3 restarts in a row finished nothing" in status["message"], status
    assert len(list((runs.runs_dir / "birth" / birth).glob("attempts/*/*.*"))) == 4

    for mechanism in MECHANISMS:
        print(assert_complete(found[mechanism], ids[mechanism], seconds))
    runs.assert_nothing_left()


def assert_third_is_elsewhere(runs: Runs, run_id: str, failure: str) -> None:
    """Two attempts on n1 failed so; the third one was kept from it, and `status` names the node."""
    attempts = [json.loads(path.read_text()) for path in runs.latest().glob("attempts/*/*/outcome.json")]
    attempts.sort(key=lambda each: float(each["started"]))
    assert [each["nodes"] for each in attempts[:2]] == [["n1"], ["n1"]], attempts
    assert [each["failure_class"] for each in attempts] == [failure, failure, None], attempts
    assert "n1" not in attempts[2]["nodes"]
    (bad,) = runs.status(run_id)["bad_nodes"]
    assert (bad["node"], bad["faults"], bad["excluded"]) == ("n1", 2, True)
    assert "Bad nodes" in runs.command("status", run_id).stdout


@pytest.mark.faults
@pytest.mark.parametrize("mechanism", ["resubmit", "requeue"])
def test_a_node_whose_ray_dies_is_left_out_at_the_third_attempt(runs: Runs, mechanism: str) -> None:
    noted = Noted(runs, 100)
    restart = {"mechanism": mechanism, "backoff_s": 0}
    resources = {**SMALL, "nodes": 1}
    run_id = str(
        runs.submit(
            noted.spec("ray_actor_pool", restart=restart, resources=resources, environment={"setup": [RAY_DIES]})
        )["run_id"]
    )
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    assert_third_is_elsewhere(runs, run_id, "node_failed")
    assert (noted.lost(runs.latest()), noted.doubled(runs.latest())) == (0, 0)
    runs.assert_nothing_left()


def test_a_node_that_fails_its_checks_is_left_out_at_the_third_attempt(runs: Runs) -> None:
    sick = gpu_tool(runs.folder, "sick", ["0, GPU-00000000-aaaa, 570.86.15, Disabled, 3, No, 0, 0, None"])
    spec = {
        "name": "checked",
        "pipeline": {"command": "true"},
        "cluster": {"ray": False},
        "environment": {"setup": [f"[[ $(hostname -s) != n1 ]] || export PATH={sick}:$PATH"]},
        "restart": {"mechanism": "resubmit", "backoff_s": 0},
        "resources": {**DIES_AT_BIRTH["resources"], "gpus_per_node": 1},
    }
    run_id = str(runs.submit(spec)["run_id"])
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    assert_third_is_elsewhere(runs, run_id, "node_failed")
    runs.assert_nothing_left()
