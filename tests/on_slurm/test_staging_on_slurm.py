"""Software on the nodes' own disks, on several nodes: once in the suite, and what can go wrong by `make staging`."""

from __future__ import annotations

from pathlib import Path

from slurm_cluster import SlurmCluster

from on_slurm.runs import Runs
from on_slurm.staged_software import PROGRAM, event, found, how, make_environment, staged_spec


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
    assert "had it from earlier runs" in event(runs)["message"]
    left = {Path(name).name for name in slurm_cluster.files() if name.count("/") == 3 and "cs-staged" in name}
    assert len([name for name in left if not name.endswith(".lock")]) == 1, left  # that of stage_days: 0 is gone


def _uid(cluster: SlurmCluster) -> str:
    return cluster.run(["id", "-u"]).stdout.strip()
