"""A heterogeneous job: a group of nodes with GPUs and one without, a head of its own, and stages where they belong."""

from __future__ import annotations

import re

from slurm_cluster import SlurmCluster

from on_slurm.runs import Runs, accounting

STAGES = """
import socket
from pathlib import Path

from curator_slurm.executors import ProcessingStage, Resources, Task


class Make(ProcessingStage):
    name = "make"
    resources = Resources(cpus=0.5)

    def process(self, task):
        return [Task("numbers", number) for number in range(24)]


class Where(ProcessingStage):
    resources = Resources(cpus=0.5)

    def __init__(self, folder, name, gpus=0):
        self.folder, self.name = folder, name
        self.resources = Resources(cpus=0.5, gpus=gpus)

    def process(self, task):
        Path(self.folder, f"{self.name}.{socket.gethostname()}").touch()
        return task
"""


def test_a_group_with_gpus_one_without_and_a_head_of_its_own(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """The GPUs are on n1, so that the first node of the job is not the first by name."""
    (runs.folder / "where.py").write_text(STAGES)
    (runs.folder / "where.py").chmod(0o644)
    marks = [("first", 0, "cpu"), ("model", 1, None), ("tail", 0, "gpu")]
    stages = [
        {
            "use": "where:Where",
            "with": {"folder": "${output_dir}", "name": name, "gpus": gpus},
            **({"resources": {"group": group}} if group else {}),
        }
        for name, gpus, group in marks
    ]
    spec = {
        "name": "groups",
        "pipeline": {"stages": [{"use": "where:Make"}, *stages]},
        "executor": {"backend": "xenna"},
        "cluster": {"head": "dedicated"},
        "resources": {
            "cpus_per_node": 4,
            "time": 20,
            "groups": [
                {"name": "gpu", "gpus_per_node": 2, "mem_per_node": "2500M", "sbatch": {"nodelist": "n1"}},
                {"name": "cpu", "nodes": 2, "mem_per_node": "1800M"},
            ],
        },
    }
    done = runs.run(spec)
    assert done.returncode == 0, done.output + runs.read("attempts/*/*/driver.log")
    names = sorted(path.name for path in (runs.latest() / "outputs").glob("*.n?"))
    assert names == ["first.n3", "model.n1", "tail.n1"]

    status = runs.status()
    nodes = {each["node"]: (each["role"], each["group"]) for each in status["node_reports"]}
    assert nodes == {"n2": ("head", "cpu"), "n3": ("worker", "cpu"), "n1": ("worker", "gpu")}
    agents = runs.read("elements/*/nodes/*/agent.log")
    sizes = {
        found[0]: found[1:] for found in re.findall(r"(n\d) is ready: .* (\d+) CPUs, (\d+) GPUs, (\d+) MB", agents)
    }
    assert sizes == {"n1": ("4", "2", "2500"), "n2": ("4", "0", "1800"), "n3": ("4", "0", "1800")}
    rows = accounting(slurm_cluster, status["job_id"])
    components = {row.split("|")[0]: row.split("|")[1] for row in rows if re.fullmatch(r"\d+\+\d\|.*", row)}
    assert components == {f"{status['job_id']}+0": "COMPLETED", f"{status['job_id']}+1": "COMPLETED"}
    runs.assert_nothing_left()
