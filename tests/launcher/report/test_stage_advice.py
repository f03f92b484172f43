"""Advice about the stage that limits: workers, CPUs and batches, with figures, where the spec lists the stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reported_runs
import run_dirs
import sharded_runs
from reported_runs import T0

from curator_slurm.launcher.cli._show_advice import advice_about, settings_like
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.report.report_model import Advice
from curator_slurm.launcher.report.stage_advice import spec_index
from curator_slurm.launcher.runs.registry import load_run
from curator_slurm.launcher.spec.overrides import Override, parse_override
from curator_slurm.launcher.spec.pipeline_section import StageSpec

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home


def stages(**of_filter: Any) -> list[dict[str, Any]]:
    return [{"use": "m:Reader"}, {"use": "m:Filter", **of_filter}, {"use": "m:Writer"}]


def advice(
    folder: Path, *, cpus_job: float, busy: float, queued: int = 40, tasks: int = 12, **more: Any
) -> list[Advice]:
    """Of a run whose filter has two workers that are busy for this share, on two nodes of four CPUs."""
    times = more.pop("task_seconds", {"0.5": 50})
    run = reported_runs.measured_run(folder)
    pipeline = {"stages": more.pop("stages", stages(**more))}
    run.paths.plan.write_text(sharded_runs.plan(folder, shards=None, input=None, pipeline=pipeline).to_yaml())
    for node in ("n1", "n2"):
        path = run.paths.existing_elements()[0].node(node).metrics
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.unlink()
        for line in lines:
            append_jsonl(path, {**line, "cpus_job": cpus_job})
    (attempt,) = run.paths.existing_attempts()
    attempt.metrics.unlink()
    shares = {"reader": 0.05, "quality <filter>": busy, "writer": 0.05}
    reported_runs.measure_stages(attempt, T0 + 20, shares, queued=queued, task_seconds=times)
    progress = json.loads(attempt.progress.read_text())
    progress["stages"][1]["tasks_in"] = tasks
    write_json(attempt.progress, progress)
    found = [each for each in advice_about(run).advice if each.key.startswith("pipeline.")]
    for each in found:
        assert isinstance(parse_override(each.setting), Override)
        assert any(letter.isdigit() for letter in each.evidence)
    return found


def test_more_workers_where_all_hands_were_full_and_cpus_were_left(tmp_path: Path) -> None:
    [found] = advice(tmp_path, cpus_job=0.8, busy=0.95, num_workers=2)
    assert (found.setting, found.before) == ("pipeline.stages.1.num_workers=8", "2")
    assert (
        found.evidence == "its 2 workers were busy for 95% of the time, 40 tasks waited, and 20% of the CPUs were busy"
    )


def test_another_run_does_not_take_what_is_of_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    advice(tmp_path, cpus_job=0.8, busy=0.95, num_workers=2)
    [record] = tmp_path.rglob("run.json")
    assert not any(setting.startswith("pipeline.") for setting in settings_like(load_run(record.parent)))
    assert "not set, as your stages may be others: --set pipeline.stages.1.num_workers=" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        {"cpus_job": 3.9, "busy": 0.95, "num_workers": 2},  # no CPUs are left
        {"cpus_job": 0.8, "busy": 0.6, "num_workers": 2},  # they had time
        {"cpus_job": 0.8, "busy": 0.95, "num_workers": 2, "queued": 1},  # nothing waited
        {"cpus_job": 0.8, "busy": 0.95},  # as many as fit
        {"cpus_job": 0.8, "busy": 0.95, "resources": {"cpus": 1}},  # they do not hold the CPUs
        {"cpus_job": 3.9, "busy": 0.95, "resources": {"cpus": 4}},  # they use what they hold
        {"cpus_job": 0.8, "busy": 0.95, "stages": [{"use": "m:All"}]},  # which of them is not known
        {"cpus_job": 0.8, "busy": 0.55, "tasks": 5000},  # tasks take half a second
        {"cpus_job": 0.8, "busy": 0.3, "queued": 0, "task_seconds": {"0.001": 9}, "tasks": 5000},  # no stage limits
    ],
)
def test_no_figure_no_advice(tmp_path: Path, more: dict[str, Any]) -> None:
    assert advice(tmp_path, **more) == []


def test_fewer_cpus_where_workers_hold_what_they_do_not_use(tmp_path: Path) -> None:
    [found] = advice(tmp_path, cpus_job=1.0, busy=0.95, resources={"cpus": 4})
    assert (found.setting, found.before) == ("pipeline.stages.1.resources.cpus=1.25", "4")
    assert found.evidence.startswith("its 2.0 workers held 8.0 of 8 CPUs, of which 25% were busy: at most 1.05")


def test_larger_batches_where_tasks_are_short(tmp_path: Path) -> None:
    short = {"cpus_job": 3.0, "busy": 0.4, "task_seconds": {"0.0078125": 5000}, "tasks": 5000}
    [found] = advice(tmp_path, **short)
    assert (found.setting, found.before) == ("pipeline.stages.1.batch_size=86", "not set")
    assert found.evidence.startswith("5,000 tasks took about 5.86 ms each; its workers were busy for 40% of the time")
    assert advice(tmp_path / "other", **short, batch_size=64) == []


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["A", "B", "C", "D"], 2),
        (["m:JsonlReader", "B", "C"], 1),
        (["A", "B", "C"], None),
        (["m:JsonlReader", "B"], None),
    ],
)
def test_which_of_the_listed_stages_it_is(listed: list[str], expected: int | None) -> None:
    names = ["partition", "read", "clean", "write"]
    specs = [StageSpec(use=use if ":" in use else f"m:{use}") for use in listed]
    assert spec_index(names, "clean", specs) == expected
    assert spec_index([*names[:3], "clean"], "clean", specs) is None
    assert spec_index(names, "clean", [*specs, StageSpec(use="m:X", name="clean")]) == len(specs)
