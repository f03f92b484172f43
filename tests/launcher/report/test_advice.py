"""Advice: only with a figure behind it, and settings that a spec takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reported_runs
import run_dirs
import sharded_runs
from click.testing import CliRunner
from reported_runs import GIB, T0

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli._show_advice import advice_about
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.report.advice import AdviceView
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.spec.overrides import Override, parse_override

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home


def run_with(folder: Path, more: dict[str, Any] | None = None, **sections: Any) -> Run:
    """`measured_run` with a plan of these sections, and these figures added to what was measured of its nodes."""
    run = reported_runs.measured_run(folder)
    the_plan = sharded_runs.plan(folder, **{"shards": None, "input": None, **sections})
    run.paths.plan.write_text(the_plan.to_yaml())
    for node in ("n1", "n2"):
        cluster = run.paths.existing_elements()[0]
        lines = [json.loads(line) for line in cluster.node(node).metrics.read_text().splitlines()]
        cluster.node(node).metrics.unlink()
        for line in lines:
            append_jsonl(cluster.node(node).metrics, {**line, **(more or {})})
    return run


def settings(view: AdviceView) -> dict[str, str]:
    for each in view.advice:
        assert isinstance(parse_override(each.setting), Override), each.setting
        assert any(letter.isdigit() for letter in each.evidence)
    return {each.key: each.value for each in view.advice}


def test_memory_gpus_nodes_and_time_that_were_not_used(tmp_path: Path) -> None:
    resources = {"nodes": 2, "mem_per_node": "8G", "time": "4:00:00"}
    run = run_with(tmp_path, {"cpus_job": 0.5, "shm": 0}, resources=resources)
    view = advice_about(run)
    assert settings(view) == {"resources.mem_per_node": "3G", "resources.nodes": "1", "resources.time": "0:10:00"}
    [memory] = [each for each in view.advice if each.key == "resources.mem_per_node"]
    assert memory.evidence == "a node had at most 2.0 GiB of 8.0 GiB in use"
    assert memory.saves == "0.28 GiB-hours"
    [nodes] = [each for each in view.advice if each.key == "resources.nodes"]
    assert nodes.saves == "up to 0.028 node-hours, if it takes as long on 1", "a short run has saved something, too"


def test_gpus_that_were_never_busy(tmp_path: Path) -> None:
    gpus = {"gpus": [0.9, 0.0, 0.4, 0.005], "gpu_memory": GIB}
    run = run_with(tmp_path, gpus, resources={"nodes": 2, "gpus_per_node": "a100:4"})
    assert settings(advice_about(run)) == {"resources.gpus_per_node": "a100:2"}
    without = run_with(tmp_path / "other", None, resources={"nodes": 2, "gpus_per_node": 4})
    assert settings(advice_about(without)) == {}  # not measured


def test_the_object_store_keeps_its_room(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"shm": 1 * GIB, "memory_job": GIB}, resources={"nodes": 2, "mem_per_node": "8G"})
    assert settings(advice_about(run)) == {"resources.mem_per_node": "5G"}  # 30 % of it hold one GiB, and a margin


def test_what_fits_is_left_alone(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"memory_job": 7 * GIB}, resources={"nodes": 2, "mem_per_node": "8G", "time": "3"})
    view = advice_about(run)
    assert (view.advice, view.why_none) == ((), "what was asked for fits what was used")


def test_a_full_object_store(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"memory_job": 7 * GIB}, resources={"nodes": 2, "mem_per_node": "8G"})
    reported_runs.store_lines(run.paths.existing_attempts()[0], T0, 0.97)
    assert settings(advice_about(run)) == {"cluster.object_store_fraction": "0.5"}


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("out_of_memory", {"resources.mem_per_node": "12G"}),
        ("time_limit", {"resources.time": "2:00:00"}),
        ("app_failed", {}),
    ],
)
def test_after_a_failure_more_of_what_was_missing(tmp_path: Path, failure: str, expected: dict[str, str]) -> None:
    run = run_with(tmp_path, None, resources={"nodes": 2, "mem_per_node": "8G", "time": "1:00:00"})
    run.paths.done(0).unlink()
    for path in (run.paths.existing_attempts()[0].outcome, run.paths.existing_elements()[0].outcome):
        write_json(path, {**json.loads(path.read_text()), "state": "failed", "failure_class": failure, "exit_code": 1})
    assert settings(advice_about(run)) == expected


def test_short_shards_go_to_one_job(tmp_path: Path) -> None:
    run = sharded_runs.sharded_run(tmp_path, 8, the_plan=sharded_runs.plan(tmp_path))
    for shard in range(8):
        start = T0 + 200 * shard
        attempt = reported_runs.finished_attempt(run, f"4711_{shard}", start, start + 100, shard=shard)
        done = {
            "schema": 1, "run_id": run.run_id, "shard": shard, "attempt": attempt.name, "started": start,
            "published": start + 95, "input_files": 1, "input_bytes": 9, "files": [],
        }  # fmt: skip
        write_json(run.paths.done(shard), done)
    [each] = [each for each in advice_about(run).advice if each.key == "shards.per_element"]
    assert each.value == "4"
    assert each.evidence == "a job worked for 1m 10s at a shard, and took 30s to start and to end"


@pytest.mark.parametrize(
    ("change", "why"), [("plan", "plan"), ("metrics", "nothing was measured"), ("running", "goes on")]
)
def test_no_figures_no_advice(tmp_path: Path, change: str, why: str) -> None:
    run = run_with(tmp_path, {"cpus_job": 0.1}, resources={"nodes": 2, "mem_per_node": "8G"})
    if change == "plan":
        run.paths.plan.write_text("{")
    elif change == "metrics":
        for path in run.paths.root.rglob("metrics.jsonl"):
            path.unlink()
    else:
        run = run_dirs.new_run(tmp_path / "new")
        run.paths.plan.write_text(sharded_runs.plan(tmp_path, shards=None, input=None).to_yaml())
        run_dirs.submit_again(run, "4799")
    view = advice_about(run)
    assert view.advice == ()
    assert why in view.why_none or change == "running"


def test_submit_like_a_run_takes_its_advice_and_the_command_line_counts_more(tmp_path: Path) -> None:
    run = run_with(
        tmp_path, {"cpus_job": 0.5, "shm": 0}, resources={"nodes": 2, "mem_per_node": "8G", "time": "4:00:00"}
    )
    spec = run_dirs.write_spec(tmp_path, Path("/usr/bin/python3"), resources={"nodes": 2, "mem_per_node": "8G"})
    arguments = ["submit", str(spec), "--like", str(run.paths.root), "--nodes", "3", "--dry-run", "--cluster", "slurm"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "#SBATCH --mem=3G" in result.stdout
    assert "#SBATCH --nodes=3" in result.stdout
    assert "--set resources.mem_per_node=3G (was 8G): a node had at most" in result.stderr


def test_advice_on_a_terminal_and_as_json(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"cpus_job": 3.5, "shm": 0}, resources={"nodes": 2, "mem_per_node": "8G"})
    text = CliRunner().invoke(main, ["advise", str(run.paths.root)])
    assert "--set resources.mem_per_node=3G\nwas        8G\nbecause    a node had at most" in text.output
    found = json.loads(CliRunner().invoke(main, ["advise", str(run.paths.root), "--json"]).stdout)
    assert [(each["key"], each["value"]) for each in found["advice"]] == [("resources.mem_per_node", "3G")]
