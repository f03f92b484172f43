"""The test cluster itself: what other tests take for granted."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_cluster import ClusterError, SlurmCluster
from slurm_cluster.layout import default_directory
from slurm_cluster.waiting import wait_for

pytestmark = pytest.mark.slurm


def test_a_job_of_an_ordinary_user_runs_on_three_separate_nodes(slurm_cluster: SlurmCluster, shared_dir: Path) -> None:
    script = 'touch /tmp/mine; echo "$(hostname) $(hostname -I) $(id -un) $(ls /tmp | grep -c mine)"'
    done = slurm_cluster.run(["srun", "-N3", "bash", "-c", script], cwd=shared_dir, check=True)

    rows = sorted(line.split() for line in done.stdout.splitlines())
    assert [row[0] for row in rows] == ["n1", "n2", "n3"]
    assert [row[1] for row in rows] == [slurm_cluster.state.addresses[n] for n in slurm_cluster.nodes]
    assert {tuple(row[2:]) for row in rows} == {(slurm_cluster.user, "1")}
    assert slurm_cluster.files(node="n1") == ["n1:/tmp/mine"]
    slurm_cluster.run(["srun", "-N3", "rm", "/tmp/mine"], check=True)
    assert slurm_cluster.files() == []


def test_the_clone_and_the_python_of_the_tests_work_for_users_on_nodes(
    slurm_cluster: SlurmCluster, shared_dir: Path
) -> None:
    code = f"import sys, pathlib; print(sys.prefix, pathlib.Path({__file__!r}).read_text()[:20])"
    done = slurm_cluster.run(["srun", "-N3", "python", "-c", code], cwd=shared_dir, check=True)

    assert len(done.stdout.splitlines()) == 3
    assert all(line.startswith(f'{sys.prefix} """The test cluster') for line in done.stdout.splitlines())


def test_slurm_counts_and_assigns_the_fake_gpus(slurm_cluster: SlurmCluster, shared_dir: Path) -> None:
    script = 'echo "$CUDA_VISIBLE_DEVICES"'
    done = slurm_cluster.run(["srun", "-N3", "--gpus-per-node=2", "bash", "-c", script], cwd=shared_dir, check=True)
    assert done.stdout.split() == ["0,1"] * 3

    refused = slurm_cluster.run(["sbatch", "--gpus-per-node=3", "--wrap", "true"], cwd=shared_dir)
    assert refused.returncode == 1


def test_a_job_that_takes_more_memory_than_it_asked_for_is_killed(
    slurm_cluster: SlurmCluster, shared_dir: Path
) -> None:
    done = slurm_cluster.run(
        ["srun", "-n1", "--mem=100", "python", "-c", "print(len(bytearray(400 << 20)))"], cwd=shared_dir
    )
    assert done.returncode != 0
    assert "oom-kill" in done.stderr


def test_users_are_separate(slurm_cluster: SlurmCluster, shared_dir: Path) -> None:
    secret = shared_dir / "secret"
    slurm_cluster.run(["sh", "-c", f"umask 077; echo mine > {secret}"], check=True)
    submit = ["sbatch", "--parsable", "-o", "/dev/null", "--wrap", "sleep 600"]
    job = slurm_cluster.run(submit, check=True).stdout.strip()

    other = slurm_cluster.other_user
    assert slurm_cluster.run(["cat", str(secret)], user=other).returncode != 0
    assert slurm_cluster.run(["ls", str(slurm_cluster.home())], user=other).returncode != 0
    assert "denied" in slurm_cluster.run(["scancel", job], user=other).stderr
    assert slurm_cluster.run(["srun", "id", "-un"], user=other, check=True).stdout.strip() == other


def test_power_cut_and_restore(slurm_cluster: SlurmCluster, shared_dir: Path) -> None:
    # The script outlives srun, which ends with an error where a node goes before it has confirmed the launch.
    script = "srun sh -c 'echo up > up.$SLURM_PROCID; exec sleep 600'; sleep 600"
    submit = ["sbatch", "--parsable", "--no-requeue", "-N3", "-o", "/dev/null", "--wrap", script]
    job = slurm_cluster.run(submit, cwd=shared_dir, check=True).stdout.strip()
    wait_for("the step on three nodes", lambda: len(list(shared_dir.glob("up.*"))) == 3, 180)
    assert slurm_cluster.job_states(job) == ["RUNNING"]

    slurm_cluster.kill_node("n3")

    assert slurm_cluster.processes(user=None, node="n3") == []
    slurm_cluster.wait_for_job(job, state="NODE_FAIL")
    slurm_cluster.restore_node("n3")
    slurm_cluster.wait_until_idle()
    slurm_cluster.run(["srun", "-w", "n3", "true"], cwd=shared_dir, check=True)
    assert slurm_cluster.processes() == []


def test_a_cut_cable_leaves_the_node_running_but_alone(slurm_cluster: SlurmCluster) -> None:
    def reaches_login() -> bool:
        probe = ["timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/login/6817"]
        return slurm_cluster.run(probe, node="n2").returncode == 0

    wait_for("the cable to carry", reaches_login)
    slurm_cluster.cut_node("n2")
    assert not reaches_login()
    assert slurm_cluster.is_on("n2")
    slurm_cluster.restore_node("n2")
    wait_for("the cable to carry again", reaches_login)


def test_a_command_that_does_not_end_is_killed_with_its_children(slurm_cluster: SlurmCluster) -> None:
    with pytest.raises(ClusterError, match="not done after 1 s"):
        slurm_cluster.run(["sh", "-c", "sleep 987; true"], timeout=1)
    wait_for("the children to be gone", lambda: not slurm_cluster.processes(node="login"))


def test_a_shared_directory_belongs_to_the_user_asked_for(
    slurm_cluster: SlurmCluster, make_shared_dir: Callable[..., Path]
) -> None:
    private = make_shared_dir(user=slurm_cluster.other_user, mode=0o700)
    assert slurm_cluster.run(["ls", str(private)], user=slurm_cluster.other_user).returncode == 0
    assert slurm_cluster.run(["ls", str(private)]).returncode != 0


def test_healing_sweeps_away_what_a_test_left_and_brings_nodes_back(slurm_cluster: SlurmCluster) -> None:
    other = slurm_cluster.other_user
    leave = "echo x > /tmp/left; mkdir -p /dev/shm/a/b; touch /dev/shm/a/b/c; (setsid sleep 987 > /dev/null 2>&1 &)"
    slurm_cluster.run(["sh", "-c", leave], node="n2", user=other, check=True)
    slurm_cluster.run(["scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test"], user=None, check=True)
    slurm_cluster.kill_node("n3")

    assert len(slurm_cluster.files(other)) == 4
    wait_for("what was left", lambda: [p.command for p in slurm_cluster.processes(other)] == ["sleep 987"])

    slurm_cluster.heal()

    assert slurm_cluster.files(other) == []
    assert slurm_cluster.processes(other) == []
    assert slurm_cluster.run(["srun", "-N3", "true"]).returncode == 0


def test_a_cluster_goes_down_after_the_session_that_was_killed() -> None:
    cluster = SlurmCluster(f"{default_directory()}-orphan-{os.getpid()}")
    code = """
import sys
from slurm_cluster import Options, SlurmCluster
from slurm_cluster.api import this_session
SlurmCluster(sys.argv[1]).up(Options(nodes=1, accounting=False), owner=this_session(), fresh=True)
print("up", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(cluster.layout.root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as session:
            assert session.stdout is not None
            assert session.stdout.readline() == b"up\n"
            inits = cluster.state.processes()
            session.kill()
        wait_for("the cluster to go down", lambda: not cluster.layout.state.exists(), 60)
        assert not any(init.alive for init in inits)
    finally:
        cluster.down(purge=True)
