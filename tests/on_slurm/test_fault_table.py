"""`make faults`: whatever happens to a run, its rows are there once, and nothing of it is left on the nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from fault_cells import ARRAY, Cell, cells
from matrix_rows import ROW
from slurm_cluster import SlurmCluster
from slurm_cluster.disk import Disk, mounted_disk
from slurm_cluster.errors import ClusterError
from slurm_cluster.waiting import wait_for

from on_slurm.accidents import ACCIDENTS, PARTITION, Scene, prepared
from on_slurm.noted_runs import Noted
from on_slurm.runs import SMALL, WAIT_S, Runs

MAX_ARRAY_SIZE = 1002
NODES = 4
CONF = ("JobSubmitPlugins=lua",)
SOURCES, SHARDS = 72, 12
BUSY = 8
"""Sources that have begun when it happens."""
PAUSE_S, LONG_S = 0.4, 1.5
"""Of a source; where the time limit must be reached before all is done, the longer one."""
LEFT_S = 120


@pytest.fixture
def disk(array_cluster: SlurmCluster, array_runs: Runs, tmp_path: Path) -> Iterator[Disk]:
    """Storage of its own for the run directories."""
    folder = array_runs.folder / "disk"
    folder.mkdir()
    with mounted_disk(array_cluster, folder, tmp_path / "disk.img") as disk:
        os.chown(folder, array_cluster.uid(), array_cluster.uid())
        array_runs.runs_dir = folder / "runs"
        yield disk
        array_cluster.heal()


def sections(cell: Cell) -> dict[str, Any]:
    resources = {**SMALL, "nodes": 2, "mem_per_node": "1600M", "partition": PARTITION, "time": 10}
    shards = {"shards": {"count": SHARDS, "per_element": SHARDS // 2}} if cell.kind == ARRAY else {}
    return {"resources": resources, "restart": {"backoff_s": 5}, "output": {"collect": "manual"}, **shards}


def ending(runs: Runs, run_id: str) -> str:
    """How the run has ended."""
    done = runs.command("watch", run_id)
    return "by itself" if done.returncode == 0 else str(runs.status(run_id).get("failure_class"))


def left_over(cluster: SlurmCluster) -> tuple[int, int]:
    """Processes and jobs that do not go away."""

    def left() -> tuple[int, int]:
        asked = cluster.run(["squeue", "-h", "-r", "-u", cluster.user], user=None, check=True)
        return len(cluster.processes()), len(asked.stdout.splitlines())

    with suppress(ClusterError):
        wait_for("nothing to be left", lambda: left() == (0, 0), LEFT_S)
    return left()


def retried(runs: Runs, run_id: str) -> str:
    """How often somebody had to help."""
    for count in range(1, 4):
        done = runs.command("retry", run_id)
        assert done.returncode == 0, done.output
        if ending(runs, run_id) == "by itself":
            return f"retry x{count}"
    return "not at all"


def finished(runs: Runs, run_id: str) -> int:
    """Sources that attempts have finished beside those of earlier ones: all, and none of them again."""
    attempts = runs.command("status", run_id, "--attempts", "--json").json["attempts"]
    counts = [(each["sources_before"] or 0, each["sources_finished"] or 0) for each in attempts]
    return sum(max(0, after - before) for before, after in counts)


@pytest.mark.faults
@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_a_fault(
    cell: Cell, array_runs: Runs, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    runs, cluster = array_runs, array_runs.cluster
    disk = request.getfixturevalue("disk") if cell.fault.on_disk else None
    noted = Noted(runs, SOURCES, workers=2, pause=LONG_S if "limit" in cell.fault.name else PAUSE_S)
    with ExitStack() as after:
        prepared(cluster, cell.fault.name, after)
        run_id = str(runs.submit(noted.spec(cell.executor, **sections(cell)))["run_id"])
        began = time.monotonic()
        run = runs.runs_dir / noted.name / run_id
        wait_for("work to be on its way", lambda: len(noted.begun()) >= BUSY, WAIT_S)
        ACCIDENTS[cell.fault.name](Scene(cluster, run, noted.notes / "quick", disk, after))
        ended = ending(runs, run_id)
        seconds = time.monotonic() - began
        restarts = len(list(run.glob("elements/*.[0-9]*"))) - (2 if cell.kind == ARRAY else 1)
    processes, jobs = left_over(cluster)
    if ended != "by itself":
        cluster.heal()
        ended = f"{ended}, {retried(runs, run_id)}"
    row = {
        "fault": cell.fault.name, "run": cell.kind, "executor": cell.executor, "ended": ended, "restarts": restarts,
        "rows lost": noted.lost(run), "rows twice": noted.doubled(run), "sources twice": noted.twice(),
        "seconds": round(seconds), "processes": processes, "jobs": jobs,
    }  # fmt: skip
    record_property(ROW, row)
    print(row)
    history = runs.command("status", run_id, "--attempts").stdout
    assert (row["rows lost"], row["rows twice"], processes, jobs) == (0, 0, 0, 0), f"{row}\n{history}"
    assert restarts >= cell.fault.interrupts, f"it came too late: {row}\n{history}"
    assert finished(runs, run_id) <= SOURCES, f"sources that were finished were done again: {row}\n{history}"
    noted.assert_counted_once(run_id)
    assert cell.fault.by_itself in (None, ended == "by itself"), f"{row}\n{history}"
