"""A node of a run loses its power: every row comes out once all the same; on every back end in `make matrix`."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable

import pytest
from engines import ASKED, in_full
from matrix_rows import ROW
from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.runs import SMALL, WAIT_S, Runs

ROWS = 90
MODES = in_full([*ASKED, *(["xenna batch"] if "xenna" in ASKED else [])], "xenna")
POLICIES = in_full(["skip", "fail"], "fail")
PIPELINE = """
import os, socket, time
from pathlib import Path
from curator_slurm.executors import Pipeline, ProcessingStage, Resources, Task


class Stage(ProcessingStage):
    resources = Resources(cpus=0.5)
    batch_size = 1


class Make(Stage):
    name = "make"

    def process(self, _):
        return [Task("numbers", number) for number in range({rows})]


class Inflate(Stage):
    name = "inflate"

    def process(self, task):
        return Task("numbers", (task.data, os.urandom(300_000)))


class Slowly(Stage):
    name = "slowly"

    def __init__(self, journal):
        self.journal = journal

    def process(self, task):
        with open(self.journal, "a") as file:
            file.write(f"{task.data[0]} {socket.gethostname()}\\n")
        time.sleep(0.3)
        return task

    def num_workers(self):
        return 3


class Write(Stage):
    name = "write"

    def __init__(self, output):
        self.output = output

    def process(self, task):
        path = Path(self.output, task.task_id)
        path.with_suffix(".tmp").write_text(str(task.data[0]))
        path.with_suffix(".tmp").rename(path)
        return Task("numbers", task.data[0])


def build(journal, output):
    return Pipeline("power-cut", stages=[Make(), Inflate(), Slowly(journal), Write(output)])
"""


@pytest.mark.matrix
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("backend", MODES)
def test_rows_after_a_power_cut(
    runs: Runs, slurm_cluster: SlurmCluster, backend: str, policy: str, record_property: Callable[[str, object], None]
) -> None:
    (runs.folder / "power_cut.py").write_text(PIPELINE.replace("{rows}", str(ROWS)))
    journal = runs.folder / "journal"
    name, _, mode = backend.partition(" ")
    spec = {
        "name": "power-cut",
        "pipeline": {"entry": "power_cut:build", "args": {"journal": str(journal), "output": "${output_dir}"}},
        "executor": {"backend": name, **({"config": {"execution_mode": mode}} if mode else {})},
        "resources": SMALL,
        "cluster": {"min_nodes": 2},
        "failures": {"on_task_error": policy},
    }
    run_id = runs.submit(spec)["run_id"]

    def lines() -> list[list[str]]:
        return [line.split() for line in journal.read_text().splitlines()] if journal.exists() else []

    def is_busy() -> bool:
        return len(lines()) >= ROWS // 6 and any(node != "n1" for _, node in lines())

    wait_for("rows on their way on several nodes", is_busy, WAIT_S)
    victim = next(node for _, node in lines() if node != "n1")  # n1 holds Ray's head
    slurm_cluster.kill_node(victim)
    done = runs.watch(run_id)
    outputs = Counter(int(path.read_text()) for path in (runs.latest() / "outputs").glob("[!_]*"))
    progress = json.loads(runs.read("attempts/*/*/progress.json"))
    last = progress["stages"][-1]
    row = {
        "backend": backend,
        "xenna": importlib.metadata.version("cosmos-xenna") if name == "xenna" else "",
        "failure": "power cut on Slurm",
        "policy": policy,
        "in": ROWS,
        "out": last["tasks_out"],
        "failed": progress["totals"]["tasks_failed"],
        "duplicated": sum(outputs.values()) - len(outputs),
        "lost": ROWS - len(outputs),
        "run": f"exit code {done.returncode}",
    }
    record_property(ROW, row)
    assert done.returncode == 0, done.output + runs.read("attempts/*/*/driver.log")
    assert (row["out"], row["failed"], row["duplicated"], row["lost"]) == (ROWS, 0, 0, 0)
    slurm_cluster.heal()
    assert slurm_cluster.processes() == []
