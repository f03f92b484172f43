"""Slurm's commands in a folder that is on nobody's default PATH, those of another version wherever one looks first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from slurm_cluster import SlurmCluster, elsewhere
from slurm_cluster.waiting import wait_for

from on_slurm.runs import WAIT_S, Runs, program

ON_BOTH = """
import pathlib
ray.get([ray.remote(lambda: None).options(scheduling_strategy="SPREAD", num_cpus=1).remote() for _ in range(8)])
assert len([node for node in ray.nodes() if node["Alive"]]) == 2
if not pathlib.Path("{gate}").exists():
    sys.exit(3)
while pathlib.Path("{gate}").read_text() == "wait":
    time.sleep(0.2)
"""
LOGS = ("slurm-*", "elements/*/nodes/*/agent.log", "attempts/*/*/driver.log")


@pytest.fixture
def login_files(slurm_cluster: SlurmCluster, runs: Runs) -> Iterator[None]:
    """alice's, which Slurm reads for a job with --export=NIL, and which put the other version first."""
    home = slurm_cluster.home()
    files = [home / ".bash_profile", home / ".bashrc"]
    text = f"export PATH={elsewhere.WRONG}:$PATH\n"
    for file in files:
        slurm_cluster.run(["sh", "-c", f"cat >{file}"], input=text, check=True)
    yield
    slurm_cluster.run(["rm", "-f", *map(str, files)], check=True)


def test_every_verb_with_slurm_outside_the_default_path(runs: Runs, login_files: None) -> None:
    gate = runs.folder / "gate"
    command = partial(runs.command, env={"PATH": elsewhere.PATH})
    spec = program(ON_BOTH.replace("{gate}", str(gate)), nodes=2, name="outside")
    with elsewhere.slurm_elsewhere(runs.cluster):
        assert runs.cluster.run(["srun", "true"]).stderr.endswith("Insane message length\n")
        assert runs.command("submit", str(runs.write(spec))).returncode != 0
        run_id = runs.submit(spec, env={"PATH": elsewhere.PATH})["run_id"]
        assert "--export=NIL" in (runs.latest() / "job.sbatch").read_text()
        assert command("watch", run_id).returncode == 6
        failed = _status(command, run_id)
        assert (failed["state"], failed["failure_class"]) == ("failed", "app_failed"), failed

        gate.write_text("wait")
        _again(command, run_id)
        wait_for("the second attempt", lambda: _status(command, run_id)["state"] == "running", WAIT_S)
        assert command("cancel", run_id).returncode == 0
        wait_for("its end", lambda: _status(command, run_id)["state"] == "cancelled", WAIT_S)

        gate.write_text("go")
        _again(command, run_id)
        done = command("watch", run_id)
        assert done.returncode == 0, done.output + str(_status(command, run_id))
        assert "Insane" not in "".join(runs.read(pattern) for pattern in LOGS)
    runs.assert_nothing_left()


def _status(command: Any, run_id: str) -> Mapping[str, Any]:
    done = command("status", run_id, "--json")
    assert "Insane" not in done.output
    found: Mapping[str, Any] = done.json
    return found


def _again(command: Any, run_id: str) -> None:
    done = command("retry", run_id)
    assert done.returncode == 0, done.output
