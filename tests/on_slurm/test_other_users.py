"""A second user plants a run where another looks for hers, and swaps one while its job is pending."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.runs import WAIT_S, Runs

ALONE = {"nodes": 1, "cpus_per_node": 1, "mem_per_node": "500M", "time": 5, "sbatch": {"hold": True}}


def spec(name: str, marker: Path) -> dict[str, Any]:
    """A run that waits until it is released, and then leaves a marker."""
    return {
        "name": name,
        "pipeline": {"command": ["touch", str(marker)]},
        "cluster": {"ray": False},
        "resources": ALONE,
    }


def as_mallory(cluster: SlurmCluster, folder: Path, *arguments: str) -> str:
    env = {"CURATOR_SLURM_RUNS": str(folder)}
    done = cluster.run(list(arguments), user=cluster.other_user, cwd=folder, env=env, timeout=WAIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def jobs_of_alice(cluster: SlurmCluster) -> list[str]:
    return cluster.run(["squeue", "-h", "--me", "-o", "%i"], check=True).stdout.split()


def test_runs_that_another_user_plants_or_swaps(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """The runs folder is one where everybody may rename what is there: the worst place that there is."""
    place, attack = runs.runs_dir, runs.folder / "attack"
    for folder in (place, attack):
        folder.mkdir()
        folder.chmod(0o777)
    runs.folder.chmod(0o755)
    pwned, done = attack / "pwned", attack / "done"
    (attack / "evil.yaml").write_text(json.dumps(spec("evil", pwned)))

    # Planted: a run that has the id of a job, and may be read and written by all.
    answer = json.loads(
        as_mallory(slurm_cluster, place, "curator-slurm", "submit", str(attack / "evil.yaml"), "--json")
    )
    planted = Path(answer["run_dir"])
    as_mallory(slurm_cluster, place, "chmod", "-R", "a+rwX", str(planted.parent))
    for name in (answer["job_id"], "evil", answer["run_id"]):
        assert runs.command("retry", name).returncode == 3
    for verb in ("retry", "cancel", "collect"):
        refused = runs.command(verb, str(planted))
        assert (refused.returncode, "belongs to mallory" in refused.stderr) == (2, True), refused.output
    read = runs.command("status", str(planted))
    assert "belongs to mallory" in read.stderr
    assert answer["job_id"] in read.stdout
    assert jobs_of_alice(slurm_cluster) == []

    # Swapped: mallory's directory in the place of alice's, whose job is pending.
    submitted = runs.submit(spec("demo", done))
    root, job = Path(submitted["run_dir"]), submitted["job_id"]
    evil = place / "copy" / root.name
    as_mallory(slurm_cluster, place, "mkdir", str(evil.parent))
    as_mallory(slurm_cluster, place, "cp", "-r", str(planted), str(evil))
    forge = f"s/{planted.name}/{root.name}/g; s/evil/demo/"
    as_mallory(slurm_cluster, place, "sed", "-i", forge, str(evil / "run.json"))
    as_mallory(slurm_cluster, place, "chmod", "-R", "a+rwX", str(evil.parent))
    as_mallory(slurm_cluster, place, "mv", str(root.parent), str(place / "away"))
    as_mallory(slurm_cluster, place, "mv", str(evil.parent), str(root.parent))
    slurm_cluster.run(["scontrol", "release", job], check=True)
    log = root / f"slurm-{job}.log"
    wait_for("the job to refuse", lambda: log.exists() and "nothing of it is used" in log.read_text(), WAIT_S)
    slurm_cluster.wait_for_job(job, timeout=WAIT_S)
    assert "belongs to mallory, not to alice" in log.read_text()
    assert not pwned.exists()
    assert not list(root.glob("elements/*/nodes"))

    # Given back, the run goes on where it was.
    shutil.rmtree(root.parent)
    (place / "away").rename(root.parent)
    again = runs.command("retry", submitted["run_id"], "--set", "resources.sbatch.hold=null")
    assert again.returncode == 0, again.output
    assert runs.watch(submitted["run_id"]).returncode == 0
    assert done.stat().st_uid == slurm_cluster.uid()
