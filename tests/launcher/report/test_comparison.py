"""Two runs side by side: settings, figures, stages, and their page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import reported_runs
import run_dirs
import sharded_runs
from click.testing import CliRunner
from reported_runs import T0

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli.schema import documents
from curator_slurm.launcher.report.compare_runs import Comparison
from curator_slurm.launcher.report.comparison_page import comparison_pictures, comparison_sections
from curator_slurm.launcher.report.make_report import comparison_of
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.view_schema import schema_of

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home


def run_on(folder: Path, nodes: int) -> Run:
    run = reported_runs.measured_run(folder)
    the_plan = sharded_runs.plan(folder, shards=None, input=None, resources={"nodes": nodes})
    origins = {"resources.nodes": "spec.yaml:4", "name": "spec.yaml:1"}
    run.paths.plan.write_text(the_plan.model_copy(update={"origins": origins}).to_yaml())
    return run


@pytest.fixture
def two(tmp_path: Path) -> tuple[Run, Run]:
    return run_on(tmp_path / "a", 2), run_on(tmp_path / "b", 3)


def figures(found: Comparison) -> dict[str, Any]:
    return {each.name: (each.first, each.second) for each in found.figures}


def test_what_differs_and_what_does_not(two: tuple[Run, Run]) -> None:
    found = comparison_of(*two)
    assert [(each.key, each.first, each.second) for each in found.settings] == [("resources.nodes", "2", "3")]
    assert all(first == second for first, second in figures(found).values())
    assert {each.stage: each.items_out for each in found.stages}["quality <filter>"] == (650, 650)
    assert {each.name: each.first for each in found.time}["working"] == 140


def test_another_attempt_costs_more(two: tuple[Run, Run]) -> None:
    reported_runs.finished_attempt(two[1], "4712", T0 + 200, T0 + 300)
    assert figures(comparison_of(*two))["node-hours"] == (
        pytest.approx(0.0556, abs=1e-3),
        pytest.approx(0.111, abs=1e-3),
    )


def test_stages_of_one_name_and_units_on_the_page(two: tuple[Run, Run]) -> None:
    found = comparison_of(*two)
    stages = (*found.stages, replace(found.stages[0], pipeline="q"))
    pictures = comparison_pictures(replace(found, stages=stages))
    assert pictures["items"]["rows"] == ["p: reader", "quality <filter>", "writer", "q: reader"]
    figures, _, of_stages, _ = comparison_sections(replace(found, stages=stages), pictures)
    (table,) = (block.table for block in of_stages.blocks)
    assert table is not None
    assert [row[0] for row in table.rows] == pictures["items"]["rows"]
    (table,) = (block.table for block in figures.blocks)
    assert table is not None
    assert {row[0]: row[1] for row in table.rows}["energy"] == "0.003 kWh"


def test_a_run_that_never_started_beside_one_that_did(two: tuple[Run, Run], tmp_path: Path) -> None:
    found = comparison_of(two[0], run_dirs.new_run(tmp_path / "c"))
    assert figures(found)["took"][1] is None
    assert {each.items_in[1] for each in found.stages} == {None}


def test_the_verb(two: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [str(run.paths.root) for run in two]
    result = CliRunner().invoke(main, ["report", *names])
    assert result.output.split() == [str(tmp_path / "comparison.html")]
    page = (tmp_path / "comparison.html").read_text()
    assert all(
        text in page for text in (*(run.run_id for run in two), "resources.nodes", "the same", "quality &lt;filter&gt;")
    )
    found = json.loads(CliRunner().invoke(main, ["report", *names, "--json"]).stdout)
    jsonschema.validate(found, schema_of("report-two", documents()["report-two"]))
    assert CliRunner().invoke(main, ["report", *names, names[0]]).exit_code == 2
    assert CliRunner().invoke(main, ["report", *names, "--export", "x"]).exit_code == 2
