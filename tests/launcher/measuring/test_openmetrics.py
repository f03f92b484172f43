"""Figures of a running job as OpenMetrics text: read by the official parser, written whole, gone at the end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile import ONE_LINE_VALUES
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as of_prometheus
from slurm_cluster.waiting import wait_for

from curator_slurm.common.measurements import NodeSample
from curator_slurm.launcher.agent import textfile
from curator_slurm.launcher.agent.textfile import Textfile
from curator_slurm.launcher.measuring.openmetrics import FAMILIES, NODES, STARTED, UPDATED, metrics_text
from curator_slurm.launcher.runs.paths import RunPaths

DOCS = Path(__file__).parents[3] / "docs" / "measurements.md"
STAGE = {
    **dict.fromkeys(("tasks_in", "tasks_out", "tasks_filtered", "tasks_failed", "items_in", "items_out"), 3),
    "busy_s": 1.5,
    "expected": 12,
    "queued": 2,
    "workers": 1,
}
PROGRESS = {
    "stages": [{"name": "reader", **STAGE}, {"name": "reader", **STAGE, "expected": None}],
    "object_store": {"used_bytes": 5, "capacity_bytes": 10, "spilled_bytes": 0, "restored_bytes": 0},
}
NODE = NodeSample(time=1.0, node="n1", seconds=2.0, cpus_job=1.5, memory_job=9, shm=1, disk_free=7, gpus=(0.5, 1.0))
IDS = {"run_id": "r", "slurm_job": "4711"}
FIGURES = {STARTED: 1.0, UPDATED: 1.7e9, NODES: 2}


def samples(text: str) -> dict[str, list[Any]]:
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def test_the_official_parser_reads_every_family_with_its_unit() -> None:
    text = metrics_text({**IDS, "name": "demo"}, IDS, FIGURES, 7, PROGRESS, NODE)
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(found) == {f"curator_slurm_{family.name}" for family in FAMILIES}
    for family in FAMILIES:
        read = found[f"curator_slurm_{family.name}"]
        assert (read.type, read.unit, read.documentation) == (family.kind, family.unit, family.help)
        assert read.samples
    stages = found["curator_slurm_stage_tasks_in"].samples
    assert [each.value for each in stages] == [3, 3]
    assert stages[1].labels == {**IDS, "shard": "7", "stage": "reader", "position": "1"}
    assert len(found["curator_slurm_stage_tasks_expected"].samples) == 1
    assert [each.value for each in found["curator_slurm_head_gpu_busy_ratio"].samples] == [0.5, 1.0]


def test_what_reads_textfiles_takes_it_too() -> None:
    """node-exporter's collector has the parser of Prometheus' own format, and refuses timestamps."""
    text = metrics_text(IDS, IDS, FIGURES, 0, PROGRESS, NODE)
    found = [sample for family in of_prometheus(text) for sample in family.samples]
    assert found
    assert all(sample.timestamp is None for sample in found)


@pytest.mark.parametrize("value", ONE_LINE_VALUES)
def test_labels_may_have_any_text(value: str) -> None:
    progress = {"stages": [{"name": value, "tasks_in": 1}]}
    (sample,) = samples(metrics_text({**IDS, "name": value}, IDS, {}, 0, progress))["curator_slurm_stage_tasks_in"]
    assert sample.labels["stage"] == value


@pytest.mark.parametrize("progress", [None, {}, {"stages": 3}, {"stages": [4, {"tasks_in": "x"}], "object_store": []}])
def test_progress_that_makes_no_sense_is_left_out(progress: Any) -> None:
    assert set(samples(metrics_text(IDS, IDS, FIGURES, 0, progress))) == {
        f"curator_slurm_{name}" for name in ("run", STARTED.name, UPDATED.name, NODES.name)
    }


def test_the_docs_have_every_metric() -> None:
    text = DOCS.read_text()
    assert [family.sample for family in FAMILIES if f"`{family.sample}`" not in text] == []


# The file


def context(folder: Path, shared: Path | None = None) -> Any:
    run = RunPaths(folder / "20260101-000000-abcd")
    cluster = SimpleNamespace(openmetrics=str(shared) if shared else None)
    plan = SimpleNamespace(spec=SimpleNamespace(name="demo", cluster=cluster))
    attempt = run.attempt(3, "4711.0")
    attempt.root.mkdir(parents=True)
    attempt.progress.write_text(json.dumps(PROGRESS))
    attempt.cluster.root.mkdir(parents=True)
    return SimpleNamespace(
        cluster=attempt.cluster, plan=plan, attempt=attempt, allocation=SimpleNamespace(nodes=["n1", "n2"])
    )


def test_it_is_written_while_the_job_runs_and_gone_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "INTERVAL_S", 0.01)
    shared = tmp_path / "collector"
    shared.mkdir()
    of = context(tmp_path, shared)
    copy = shared / "curator-slurm-20260101-000000-abcd-4711.0.prom"
    before = os.umask(0o077)
    try:
        file = Textfile(of, lambda: NODE)
        file.start()
        wait_for("the files", lambda: copy.exists() and of.cluster.textfile.exists(), 30)
    finally:
        os.umask(before)
    wait_for("the mode", lambda: copy.stat().st_mode & 0o777 == 0o644, 30)
    found = samples(of.cluster.textfile.read_text())
    assert found["curator_slurm_run"][0].labels["restart"] == "0"
    assert found["curator_slurm_nodes"][0].value == 2
    assert found["curator_slurm_stage_workers"][0].labels["shard"] == "3"
    file.end()
    assert [path.name for path in (*shared.iterdir(), *of.cluster.root.iterdir())] == []


def test_a_folder_that_cannot_be_written_keeps_nothing_else_from_it(tmp_path: Path) -> None:
    of = context(tmp_path, tmp_path / "not-there")
    file = Textfile(of, lambda: None)
    file.write()
    file.write()
    assert of.cluster.textfile.exists()
    file.end()
