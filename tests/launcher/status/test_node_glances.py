"""The last that nodes have measured, read again and again."""

from __future__ import annotations

from pathlib import Path

import pytest
import reported_runs
from reported_runs import GIB, T0

from curator_slurm.launcher.files import append_jsonl
from curator_slurm.launcher.status.node_glances import NodeGlances

pytestmark = pytest.mark.usefixtures("fake_slurm")


def test_the_last_line_of_each_node_of_the_newest_job(tmp_path: Path) -> None:
    run = reported_runs.measured_run(tmp_path)
    now = [T0 + 102.0]
    glances = NodeGlances(run.paths, lambda: now[0])
    first, second = glances.look()
    assert (first.node, first.cpus, first.memory, first.memory_share) == ("n1", 0.75, 2 * GIB, 0.25)
    assert (first.age_s, second.node, first.gpus) == (2.0, "n2", None)
    assert glances.last_event == ""
    cluster = run.paths.existing_elements()[0]
    append_jsonl(cluster.node("n1").metrics, {"time": T0 + 104, "cpus_job": 4.0, "gpus": [0.5, 1.0]})
    append_jsonl(cluster.events, {"time": T0 + 104, "event": "draining", "message": "draining: time limit"})
    assert glances.look()[0].cpus == 0.75  # not read again so soon
    now[0] += 2
    again = glances.look()[0]
    assert (again.cpus, again.gpus, again.memory) == (1.0, 0.75, None)
    assert glances.last_event == "draining: time limit"


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"time": "x"}', '{"time": 1, "gpus": 5}'])
def test_lines_that_are_being_written_or_damaged(tmp_path: Path, line: str) -> None:
    run = reported_runs.measured_run(tmp_path)
    cluster = run.paths.existing_elements()[0]
    cluster.node("n1").metrics.write_text(line)
    assert {each.node for each in NodeGlances(run.paths).look()} >= {"n2"}


def test_a_run_without_a_job(tmp_path: Path) -> None:
    run = reported_runs.many_shards(tmp_path, 2)
    assert list(NodeGlances(run.paths).look()) == []
