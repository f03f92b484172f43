"""Software on the nodes' own disks, on several nodes: once in the suite, and what can go wrong by `make staging`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.runs import SMALL, WAIT_S, Runs
from on_slurm.staged_software import PROGRAM, copies, event, found, how, make_environment, slow_tar, staged_spec

NODES = ("n1", "n2", "n3")


def test_nodes_run_their_own_copies_which_the_next_run_finds(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """Somebody else has put a folder in the way on one node; models go along, and variables name the copies."""
    venv = make_environment(runs.folder, 50)
    models = runs.folder / "models"
    models.mkdir()
    (models / "weights").write_text("1 2 3\n")
    slurm_cluster.run(["mkdir", f"/tmp/cs-staged-{_uid(slurm_cluster)}"], user="mallory", node="n2")

    done = runs.run(staged_spec(venv, PROGRAM, nodes=2))
    assert done.returncode == 0, done.output
    assert f"{runs.folder}/project" in done.output
    assert how(runs) == ["unpacked", "unpacked"]
    on_nodes = {each["node"]: each for each in found(runs)}
    assert sorted(on_nodes) == ["n1", "n2"]
    for name, seen in on_nodes.items():
        place = f"/tmp/cs-staged-{_uid(slurm_cluster)}" + (".1" if name == "n2" else "")
        assert all(seen[key].startswith(f"{place}/") for key in ("prefix", "base", "many")), seen
        assert seen["prefix"] == seen["called"] == seen["script"]
        assert seen["elsewhere"] == f"{runs.folder}/project/elsewhere.py"
    timeline = runs.command("status", "--timeline", "--json").json["phases"]
    for name in on_nodes:
        phases = [each["phase"] for each in timeline if each["node"] in (None, name)]
        assert phases.index("packed") < phases.index("staged") < phases.index("ray_started")

    more = {"stage_paths": [str(models)], "env": {"MODELS": str(models)}, "stage_days": 0}
    done = runs.run(staged_spec(venv, nodes=2, **more))
    assert done.returncode == 0, done.output
    assert how(runs) == ["unpacked", "unpacked"]  # other folders, another key
    assert found(runs)[0]["models"].startswith("/tmp/cs-staged-")

    done = runs.run(staged_spec(venv, nodes=2))
    assert done.returncode == 0, done.output
    assert how(runs) == ["reused", "reused"]
    assert "found on 2" in event(runs)["message"]
    left = {Path(name).name for name in slurm_cluster.files() if name.count("/") == 3 and "cs-staged" in name}
    assert len([name for name in left if not name.endswith(".lock")]) == 1, left  # that of stage_days: 0 is gone


@pytest.fixture
def empty_disks(slurm_cluster: SlurmCluster) -> None:
    """No copies on the nodes."""
    for node in NODES:
        slurm_cluster.run(["bash", "-c", "rm -rf /tmp/cs-staged-*"], node=node, check=True)


@pytest.mark.staging
@pytest.mark.usefixtures("empty_disks")
def test_20000_files_on_three_nodes_and_what_later_runs_find(runs: Runs) -> None:
    """The second run finds the copies; after something was installed, the third does not."""
    venv = make_environment(runs.folder, 20_000)
    kinds = []
    for number in range(3):
        if number == 2:
            (venv / "installed").touch()
        done = runs.run(staged_spec(venv, PROGRAM))
        assert done.returncode == 0, done.output
        kinds.append(how(runs))
        assert sorted(each["node"] for each in found(runs)) == list(NODES)
        assert all(each["many"].startswith("/tmp/cs-staged-") for each in found(runs))
        print(event(runs)["message"], event(runs)["nodes"])
        print(runs.command("status", "--timeline").stdout)
    assert kinds == [["unpacked"] * 3, ["reused"] * 3, ["unpacked"] * 3]


@pytest.mark.staging
@pytest.mark.usefixtures("empty_disks")
def test_a_killed_unpacking_is_repaired(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    venv, gate = make_environment(runs.folder, 2000), runs.folder / "gate"
    spec = staged_spec(venv, setup=[slow_tar(runs.folder, gate)])
    runs.submit(spec)
    wait_for("half a copy on all nodes", lambda: all(_new(runs, node) for node in NODES), WAIT_S)
    runs.command("cancel", runs.latest().name)
    runs.job_is_over()
    killed = {node: _new(runs, node) for node in NODES}
    assert all(killed.values()), "nothing was left to be repaired"
    gate.touch()
    done = runs.run(spec)
    assert done.returncode == 0, done.output
    assert how(runs) == ["unpacked"] * 3
    assert not any(_new(runs, node) for node in NODES)


@pytest.mark.staging
@pytest.mark.usefixtures("empty_disks")
def test_two_runs_at_once_unpack_once(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """The first holds still while it unpacks, so that the second is there meanwhile."""
    venv, gate = make_environment(runs.folder, 2000), runs.folder / "gate"
    spec = staged_spec(venv, setup=[slow_tar(runs.folder, gate)])
    ids = [runs.submit({**spec, "name": name})["run_id"] for name in ("first", "second")]

    def both_are_there() -> bool:
        programs = [each for each in slurm_cluster.processes(node="n1") if "unpack.pyz" in each.command]
        return len(programs) == 2

    wait_for("both runs at their copies", both_are_there, WAIT_S)
    gate.touch()
    kinds = []
    for run_id in ids:
        assert runs.watch(run_id).returncode == 0
        (folder,) = runs.runs_dir.glob(f"[!.]*/{run_id}")
        kinds.append(how(runs, folder))
    assert [sorted(pair) for pair in zip(*kinds, strict=True)] == [["reused", "unpacked"]] * 3
    assert all(len(copies(runs, node)) == 1 for node in NODES)


@pytest.fixture
def small_disk(slurm_cluster: SlurmCluster) -> Iterator[Callable[[], None]]:
    """Puts a small file system over /var/tmp of n2."""
    yield lambda: slurm_cluster.run(
        ["mount", "-t", "tmpfs", "-o", "size=90m,mode=1777", "small", "/var/tmp"], user=None, node="n2", check=True
    )
    slurm_cluster.run(["umount", "-l", "/var/tmp"], user=None, node="n2")


@pytest.mark.staging
def test_a_full_disk_falls_back_to_shared_storage(runs: Runs, small_disk: Callable[[], None]) -> None:
    venv = make_environment(runs.folder, 2000)
    small_disk()
    done = runs.run({**staged_spec(venv, PROGRAM), "storage": {"node_local": "/var/tmp"}})
    assert done.returncode == 0, done.output
    assert how(runs) == ["unpacked", "shared", "unpacked"]
    assert "/var/tmp has" in event(runs)["message"]
    assert "n2: the software is used from shared storage" in runs.read("slurm-*.log")
    prefixes = {each["node"]: each["prefix"] for each in found(runs)}
    assert prefixes["n2"] == str(venv)
    assert prefixes["n1"].startswith("/var/tmp/cs-staged-")
    for node in NODES:
        runs.cluster.run(["bash", "-c", "rm -rf /var/tmp/cs-staged-*"], node=node)


@pytest.mark.staging
def test_a_job_that_ends_while_its_software_is_tried_goes_on(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """At its time limit of two minutes; packing may take longer. The next job gets through."""
    gate = runs.folder / "gate"
    spec: dict[str, Any] = {
        "name": "tried",
        "pipeline": {"command": ["echo", "done"]},
        "cluster": {"ray": False},
        "environment": {"setup": [f"[[ ! ${{CURATOR_SLURM_TRIAL:-}} || -e {gate} ]] || sleep 600"]},
        "restart": {"mechanism": "resubmit", "backoff_s": 0},
        "resources": {**SMALL, "nodes": 2, "partition": "short", "time": 2},
    }
    run_id = runs.submit(spec)["run_id"]
    outcomes = runs.runs_dir / "tried" / run_id / "elements"
    wait_for("the end of the first job", lambda: list(outcomes.glob("*/outcome.json")), WAIT_S)
    gate.touch()
    assert runs.watch(run_id).returncode == 0
    attempts = runs.command("status", run_id, "--attempts").stdout
    print(attempts)
    assert "time_limit" in attempts


def _new(runs: Runs, node: str) -> list[str]:
    """Half copies on a node."""
    return [name for name in copies(runs, node) if name.startswith(".new-")]


def _uid(cluster: SlurmCluster) -> str:
    return cluster.run(["id", "-u"]).stdout.strip()
