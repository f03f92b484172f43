"""Where the seconds of a job went, from what its nodes, its head and its drivers have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from run_dirs import new_attempt, node_status, submitted_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli._show_timeline import timeline_lines
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.runs.phases import WORDS, Phase, times_of
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.timeline import timeline_of

BEGAN = 1_764_449_000.0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two nodes have joined, and the driver has done a batch."""
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    head = {"script": BEGAN, "srun": BEGAN + 0.25, "agent": BEGAN + 1, "joined": BEGAN + 3}
    node_status(attempt, "n1", "joined", phases=head)
    node_status(attempt, "n2", "joined", phases={**head, "joined": BEGAN + 4.5, "of the future": 1, "left": "never"})
    for seconds, name, more in (
        (2, "driver_launched", {"shard": 0}),
        (4.5, "cluster_ready", {}),
        (4.6, "driver_started", {"shard": 0}),
        (9, "node_phases", {"phases": {"n1": head, "n9": None}}),
    ):
        append_jsonl(attempt.cluster.events, {"time": BEGAN + seconds, "event": name, "message": "", **more})
    write_json(attempt.progress, {"schema": 1, "began": BEGAN + 5, "first_batch": BEGAN + 6})
    return run


def test_the_phases_of_all_nodes_and_of_the_driver_in_order(run: Run) -> None:
    view = timeline_of(run)
    assert view.nodes == ("n1", "n2")
    assert [(each.seconds, each.phase, each.node, each.shard) for each in view.phases] == [
        (0.0, "script", None, None),
        (0.25, "srun", None, None),
        (1.0, "agent", "n1", None),
        (1.0, "agent", "n2", None),
        (2.0, "driver_launched", None, 0),
        (3.0, "joined", "n1", None),
        (4.5, "joined", "n2", None),
        (4.5, "cluster_ready", None, None),
        (4.6, "driver_started", None, 0),
        (5.0, "connected", None, 0),
        (6.0, "first_batch", None, 0),
    ]


def test_status_shows_it(run: Run) -> None:
    shown = CliRunner().invoke(main, ["status", str(run.paths.root), "--timeline"])
    assert shown.exit_code == 0, shown.output
    assert "     1.00    +0.00  n2    agent started" in shown.output.splitlines()
    assert "     4.50    +3.50  n2    joined: Ray refuses strangers" in shown.output.splitlines()
    assert shown.output.splitlines()[-1].endswith("first batch done (shard 0)")
    found = CliRunner().invoke(main, ["status", str(run.paths.root), "--timeline", "--json"])
    assert json.loads(found.output)["phases"][1] == {
        "phase": "srun",
        "node": None,
        "shard": None,
        "time": BEGAN + 0.25,
        "seconds": 0.25,
    }


def test_of_many_nodes_the_first_and_the_last_are_listed(run: Run) -> None:
    (attempt,) = run.paths.existing_attempts()
    for number in range(3, 30):
        node_status(attempt, f"n{number}", "joined", phases={"agent": BEGAN + 1, "joined": BEGAN + number})
    lines = timeline_lines(timeline_of(run))
    assert [line.split()[2] for line in lines if line.endswith("joined: Ray refuses strangers")] == ["n1", "n29"]
    assert lines[-1] == "The first and the last of 29 nodes; --json has all."


def test_a_run_that_has_not_started_has_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no job of it has started yet"):
        timeline_of(submitted_run(tmp_path))


def test_every_phase_has_words() -> None:
    assert set(WORDS) == set(Phase)


def test_times_of_the_script() -> None:
    text = "script=1764449000.25 srun=1764449001,5 shell= agent=soon"
    assert times_of(text) == {"script": 1764449000.25, "srun": 1764449001.5}
