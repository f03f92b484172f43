"""What goes wrong on a cluster: a clear message in `status`, the right exit code, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest
from slurm_cluster import SlurmCluster
from slurm_cluster.errors import ClusterError
from slurm_cluster.waiting import wait_for

from on_slurm.runs import SMALL, WAIT_S, Runs, accounting, program

ONE_NODE, TWO_NODES = ({**SMALL, "nodes": nodes} for nodes in (1, 2))
SLEEPER = program("time.sleep(600)", nodes=2)


def failed(runs: Runs, failure_class: str, *words: str) -> dict[str, object]:
    """Assert that the newest run failed in this way, and that nothing of it is left."""
    status = runs.status()
    assert status["state"] == "failed", status
    assert status["failure_class"] == failure_class, status
    shown = runs.command("status", runs.latest().name)
    assert shown.returncode == 6
    for word in words:
        assert word in " ".join(shown.output.split()), shown.output
    runs.assert_nothing_left()
    return status


def agents(cluster: SlurmCluster, node: str) -> list[int]:
    """The agent of a run, and what it is just about to start: until its `exec`, a child looks like its parent."""
    return [process.pid for process in cluster.processes(node=node) if "node_agent --run-dir" in process.command]


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_pipeline_that_raises(runs: Runs) -> None:
    (runs.folder / "broken.py").write_text("def build():\n    raise ValueError('no such luck')\n")
    spec = {"name": "broken", "pipeline": {"entry": "broken:build"}, "resources": TWO_NODES}
    early = runs.run(spec)
    assert early.returncode == 2
    assert f"ValueError: no such luck ({runs.folder / 'broken.py'}, line 2)" in early.output
    done = runs.run(spec, "--no-import")
    assert done.returncode == 6, done.output
    assert "ValueError: no such luck" in done.output
    failed(runs, "app_failed", "ValueError: no such luck", "broken.py")
    assert "ValueError: no such luck" in runs.read("attempts/*/*/driver.log")
    assert {path.parent.name for path in runs.latest().glob("elements/*/nodes/*/ray.tar.zst")} == {"n1", "n2"}


def test_an_entry_that_is_not_there(runs: Runs) -> None:
    typo = {"name": "typo", "pipeline": {"entry": "no_such_module:build"}, "resources": ONE_NODE}
    done = runs.run(typo, "--no-import")
    assert done.returncode == 6, done.output
    failed(runs, "environment", "no_such_module", "pipeline.entry")


def test_an_interpreter_that_the_nodes_do_not_have(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    only_here = "/tmp/only-on-login"
    slurm_cluster.run(["python", "-m", "venv", "--without-pip", only_here], check=True)
    spec = {**SLEEPER, "environment": {"venv": only_here}}
    done = runs.run(spec)
    slurm_cluster.run(["rm", "-r", only_here], check=True)
    assert done.returncode == 6, done.output
    failed(runs, "environment", only_here, "missing", "environment.python")


def test_an_agent_that_is_killed_while_the_cluster_boots(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    gate = runs.folder / "gate"
    goes_on = f"[[ $SLURM_NODEID != 0 || ${{CURATOR_SLURM_TRIAL:-}} || -e {gate} ]]"
    head_waits = f"until {goes_on}; do sleep 0.2; done"  # nobody can have joined before
    spec = {**SLEEPER, "cluster": {"join_timeout_s": 60}, "environment": {"setup": [head_waits]}}
    run_id = runs.submit(spec)["run_id"]
    wait_for("the agent of n2", lambda: agents(slurm_cluster, "n2"), WAIT_S)
    kill(agents(slurm_cluster, "n2"))
    gate.touch()
    done = runs.watch(run_id)
    assert done.returncode == 6, done.output
    failed(runs, "node_failed", "of 2 nodes joined", "the agent on n2 was killed")


def test_a_head_whose_agent_alone_is_killed(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """Its shell is left, and says what happened: the workers need not wait for the silence of the head."""
    run_id = runs.submit(SLEEPER)["run_id"]
    runs.wait_for_event("driver_started")
    kill(agents(slurm_cluster, "n1"))
    done = runs.watch(run_id)
    assert done.returncode == 6, done.output
    failed(runs, "node_failed", "the agent on the head node n1 was killed")
    attempt = runs.element()
    assert (attempt / "exit-code").read_text() == "1\n"
    rows = accounting(slurm_cluster, str(runs.status()["job_id"]))
    assert any(row.split("|")[1:] == ["FAILED", "1:0"] for row in rows), rows
    assert json.loads((attempt / "nodes" / "n2" / "status.json").read_text())["state"] == "left"
    assert "is lost" not in (attempt / "nodes" / "n2" / "agent.log").read_text()
    assert not list(runs.latest().glob("secrets/*"))


def test_a_worker_that_never_joins(runs: Runs) -> None:
    spec = {
        **SLEEPER,
        "cluster": {"join_timeout_s": 40},
        "environment": {"setup": ["[[ $SLURM_NODEID != 1 ]] || sleep 300"]},
    }
    done = runs.run(spec)
    assert done.returncode == 6, done.output
    failed(runs, "bootstrap_timeout", "n2", "cluster.join_timeout_s", "min_nodes")


def test_a_worker_that_never_joins_and_need_not(runs: Runs) -> None:
    spec = {
        **program("print('nodes', len(ray.nodes()))", nodes=2),
        "cluster": {"join_timeout_s": 60, "min_nodes": 1},
        "environment": {"setup": ["[[ $SLURM_NODEID != 1 ]]"]},
    }
    done = runs.run(spec)
    assert done.returncode == 0, done.output
    assert "nodes 1" in runs.read("attempts/*/*/driver.log")
    assert "node_missing" in runs.events()
    runs.assert_nothing_left()


def test_a_partition_that_does_not_exist(runs: Runs) -> None:
    done = runs.command("submit", str(runs.write(SLEEPER)), "--set", "resources.partition=nosuch")
    assert done.returncode == 5
    assert "nosuch" in done.stderr or "invalid partition" in done.stderr
    assert "resources.partition" in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["resources.nodes=9"], ["partition main has", "not available", "resources.nodes"]),
        (["resources.cpus_per_node=64"], ["CPUs, and the job asks for 64", "not available"]),
        (["resources.partition=short", "resources.time=5"], ["time limit of 0:02:00", "resources.time"]),
    ],
)
def test_a_job_that_could_never_start(runs: Runs, settings: list[str], words: list[str]) -> None:
    done = runs.command("submit", str(runs.write(SLEEPER)), *(f"--set={each}" for each in settings))
    assert done.returncode == 5, done.output
    assert "could never start" in done.stderr
    assert all(part in done.stderr for part in words), done.stderr


def test_no_sbatch(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    spec = runs.write(SLEEPER)
    command = slurm_cluster.run(["bash", "-c", "command -v curator-slurm"], check=True).stdout.strip()
    done = slurm_cluster.run(
        [command, "submit", str(spec), "--cluster", "slurm"],
        cwd=runs.folder,
        env={"PATH": "/nowhere", "CURATOR_SLURM_RUNS": str(runs.runs_dir)},
    )
    assert done.returncode == 5, done.stdout + done.stderr
    assert "sbatch" in done.stderr
    assert "--cluster local" in done.stderr


def test_a_runs_folder_that_cannot_be_written(runs: Runs) -> None:
    runs.runs_dir.mkdir(mode=0o555)
    done = runs.command("submit", str(runs.write(SLEEPER)))
    assert done.returncode == 2, done.output
    assert str(runs.runs_dir) in done.stderr
    assert "CURATOR_SLURM_RUNS" in done.stderr or "storage.runs" in done.stderr


def test_three_mistakes_are_reported_together(runs: Runs) -> None:
    spec = {"name": "bad name", "pipeline": {"command": "true"}, "resources": {"gpu_per_node": 2, "nodes": 0}}
    done = runs.command("submit", str(runs.write(spec)))
    assert done.returncode == 2
    assert "`gpus_per_node`" in done.stderr
    for line in ("spec.yaml:1", "spec.yaml:5", "spec.yaml:6"):
        assert line in done.stderr, done.stderr
    assert not runs.runs_dir.exists()


def test_a_folder_that_no_node_has(runs: Runs) -> None:
    done = runs.run({**SLEEPER, "storage": {"node_local": "/tmp/of-${SLURM_JOB_ID}"}})
    assert done.returncode == 6, done.output
    job = runs.status()["job_id"]
    failed(runs, "storage", f"'/tmp/of-{job}'", "No such file", "storage.node_local")


def test_a_port_range_that_is_exhausted(runs: Runs) -> None:
    """It has enough for one CPU; how many whole nodes have is known there alone."""
    whole = {"nodes": 2, "time": 20, "sbatch": {"exclusive": True}}
    done = runs.run({**SLEEPER, "resources": whole, "network": {"port_range": [21000, 21023]}})
    assert done.returncode == 6, done.output
    failed(runs, "port_conflict", "network.port_range", "21000-21023")


def test_an_interface_that_no_node_has(runs: Runs) -> None:
    done = runs.run({**SLEEPER, "network": {"interface": "ib7"}})
    assert done.returncode == 6, done.output
    failed(runs, "environment", "no address for Ray on n1: network.interface is ib7; its interfaces:", "eth0 (10.")


def test_the_time_limit(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """Slurm's own limit, which is whole minutes, moved to a moment that is near."""
    run_id = runs.submit({**SLEEPER, "resources": {**ONE_NODE, "time": 10}})["run_id"]
    runs.wait_for_event("driver_started")
    job = runs.status(run_id)["job_id"]
    slurm_cluster.run(["scontrol", "update", f"JobId={job}", "EndTime=now+2"], check=True)
    done = runs.watch(run_id)
    rows = accounting(slurm_cluster, str(job))
    with contextlib.suppress(ClusterError):  # the word for the job may come after those for its steps
        wait_for("the end in the accounting", lambda: "|TIMEOUT|" in accounting(slurm_cluster, str(job))[0], 60)
        rows = accounting(slurm_cluster, str(job))
    assert rows[0].split("|")[1] == "TIMEOUT", rows
    assert done.returncode == 6, done.output
    failed(runs, "time_limit", "time")


def test_a_worker_node_that_loses_power_when_the_rest_may_go_on(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    go_on = runs.folder / "go-on"
    spec = program(
        f"""
while not os.path.exists({str(go_on)!r}):
    time.sleep(0.2)
print('alive', sum(node['Alive'] for node in ray.nodes()))
""",
        nodes=2,
        cluster={"min_nodes": 1},
    )
    run_id = runs.submit(spec)["run_id"]
    runs.wait_for_event("driver_started")
    slurm_cluster.kill_node("n2")
    runs.wait_for_event("node_lost")
    go_on.touch()
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    assert "alive 1" in runs.read("attempts/*/*/driver.log")


def test_the_head_node_loses_power(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """Two workers are left, and only one of them may end the job."""
    run_id = runs.submit({**SLEEPER, "resources": SMALL, "cluster": {"min_nodes": 2}})["run_id"]
    runs.wait_for_event("driver_started")
    assert list(runs.latest().glob("secrets/ray-token*"))
    slurm_cluster.kill_node("n1")
    done = runs.watch(run_id)
    assert done.returncode == 6, done.output
    assert runs.status(run_id)["failure_class"] == "node_failed"
    assert not (runs.latest() / "secrets").exists()
    slurm_cluster.heal()
    assert slurm_cluster.processes() == []


def test_out_of_memory(runs: Runs) -> None:
    spec = {
        **program("x = bytearray(2000 << 20); time.sleep(5)"),
        "resources": {**ONE_NODE, "mem_per_node": "1500M"},
    }
    done = runs.run(spec)
    assert done.returncode == 6, done.output
    failed(runs, "out_of_memory", "mem_per_node")
