"""From the files of a run to its report: figures that are those of the files, whatever is missing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import reported_runs
import run_dirs
import sharded_runs
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from reported_runs import GIB, T0

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli.schema import documents
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.report.make_report import report_of
from curator_slurm.launcher.report.page_sections import sections_of
from curator_slurm.launcher.report.report_model import RunReport
from curator_slurm.launcher.runs.attempt_records import read_node_status
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.view_schema import schema_of
from curator_slurm.launcher.status.views import to_json

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return reported_runs.measured_run(tmp_path)


def as_json(run: Run, *arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, str(run.paths.root), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return json.loads(result.stdout)


def test_figures_are_those_of_status(run: Run) -> None:
    found, status, attempts = as_json(run, "report"), as_json(run, "status"), as_json(run, "status", "--attempts")
    assert found["status"] == status
    assert (found["attempts"], found["costs"]["usage"]) == (attempts["attempts"], attempts["usage"])
    names = ("tasks_in", "tasks_out", "tasks_failed", "items_in", "items_out", "rows_failed", "busy_s")
    of_status = [[stage["name"], *(stage[name] or 0 for name in names)] for stage in status["stages"]]
    assert [[stage["stage"], *(stage[name] for name in names)] for stage in found["funnel"]["stages"]] == of_status
    jsonschema.validate(found, schema_of("report", documents()["report"]))


def test_the_funnel_adds_up(run: Run) -> None:
    reader, filter_, writer = report_of(run).funnel.stages
    assert not reader.drops_items
    assert (reader.dropped, reader.kept) == (0, None)
    assert filter_.drops_items
    assert filter_.items_in == filter_.items_out + filter_.dropped + filter_.items_failed + filter_.rows_failed == 1200
    assert all(
        each.tasks_in == each.tasks_filtered + each.tasks_failed + min(each.tasks_in, each.tasks_out)
        for each in (filter_, writer)
    )
    assert filter_.kept == pytest.approx(650 / 1200)
    assert not writer.drops_items


def test_every_second_of_a_node_is_somewhere(run: Run) -> None:
    timeline = report_of(run).timeline
    assert timeline.seconds["waiting in the queue"] == 20
    assert sum(timeline.seconds.values()) == pytest.approx(20 + 2 * 100)
    of_n1 = [(span.what, span.start - T0, span.end - T0) for span in timeline.spans if span.row == "n1"]
    assert of_n1 == [
        ("script and shell", 20, 21),
        ("checks", 21, 22),
        ("Ray starts", 22, 30),
        ("waiting for nodes", 30, 32),
        ("pipeline starts", 32, 40),
        ("working", 40, 110),
        ("publishing", 110, 115),
        ("between shards", 115, 116),
        ("teardown", 116, 120),
    ]


def test_nodes_and_stages_over_time(run: Run) -> None:
    measured = report_of(run).measured
    assert [(each.node, set(each.cpus), max(each.memory)) for each in measured.nodes] == [
        ("n1", {0.75}, 2 * GIB),
        ("n2", {0.75}, 2 * GIB),
    ]
    reader, filter_, _ = measured.stages
    known = [value for value in reader.rate if value is not None]
    assert known == pytest.approx([1.0] * len(known))
    assert max(value for value in filter_.busy if value is not None) == pytest.approx(0.95)
    assert filter_.task_seconds == {"0.5": 50, "2": 10}


def test_what_limited_it_is_named_with_its_figures(run: Run) -> None:
    limit = report_of(run).limit
    assert limit.stage == "quality <filter>"
    assert "busy for 95% of the time" in limit.evidence[0]
    assert any("writer, after it: busy for 20%" in each for each in limit.evidence)


def test_failures_by_cause(run: Run) -> None:
    failures = report_of(run).failures
    assert [(each.stage, each.tasks, each.rows) for each in failures.groups] == [
        ("quality <filter>", 4, 0),
        ("reader", 0, 3),
    ]
    assert failures.groups[0].error.startswith("ValueError: row 0")
    assert failures.groups[1].sources == ("/data/1.jsonl:7",)


def test_one_cause_whatever_data_its_messages_quote(run: Run) -> None:
    """Whole, or cut off in the middle of what they quote; and a task has the file that it comes from."""
    (attempt,) = run.paths.existing_attempts()
    attempt.failures.unlink()
    for number, end in enumerate(("' cannot be judged", "' cannot be judged", "")):
        error = f"ValueError: '{'some words ' * 30}{number}{end}"
        record = {"stage": "judge", "task_id": f"0_{number}", "source": "5144b5b4ee05", "attempt": 1, "error": error}
        append_jsonl(attempt.failures, {**record, "file": f"/data/{number}.jsonl", "traceback": ""})
    whole, cut = report_of(run).failures.groups
    assert (whole.tasks, cut.tasks) == (2, 1)
    assert whole.sources == ("/data/0.jsonl", "/data/1.jsonl")
    other = {**record, "error": f"ValueError: '{'other words ' * 30}"}
    append_jsonl(attempt.failures, {**other, "traceback": ""})
    assert [each.tasks for each in report_of(run).failures.groups] == [2, 2]


def test_what_it_took(run: Run) -> None:
    costs = report_of(run).costs
    assert costs.usage.node_hours == pytest.approx(2 * 100 / 3600, abs=1e-3)
    assert (costs.cpu_hours, costs.cpu_hours_busy) == (pytest.approx(2 * 4 * 60 / 3600, abs=1e-3), 0.1)
    assert (costs.memory_peak, costs.memory_asked, costs.queue_s) == (2 * GIB, 8 * GIB, 20)
    assert costs.energy_kwh == pytest.approx(2 * 90 * 60 / 3.6e6, abs=1e-4)
    assert (costs.energy_of, costs.gpu_hours) == ("processors", None)


def test_an_attempt_that_was_taken_over_counts_with_the_one_that_went_on(run: Run) -> None:
    second = reported_runs.finished_attempt(run, "4712", T0 + 200, T0 + 300)
    assert report_of(run).funnel.attempts == 1  # it began anew
    write_json(second.takeover, {"schema": 1, "of": "4711.0"})
    funnel = report_of(run).funnel
    assert (funnel.shards, funnel.attempts) == (1, 2)
    assert (funnel.stages[0].tasks_in, funnel.stages[1].items_in) == (4, 1200)  # the newest has all that is finished
    assert funnel.stages[1].busy_s == 2 * 110.0
    progress = json.loads(second.progress.read_text())
    write_json(second.progress, {**progress, "before": {"sources": 7, "uncounted": 2}})
    assert report_of(run).funnel.uncounted == 2
    sections = sections_of(report_of(run), {})
    assert any("2 source partitions finished earlier" in text for section in sections for text in section.texts)


def test_a_run_that_has_not_started(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    found = report_of(run_dirs.new_run(tmp_path))
    assert (found.limit.reason, found.funnel.stages, found.timeline.spans) == ("nothing has run", (), ())
    assert isinstance(to_json(found), dict)


def test_a_run_that_waits_in_the_queue(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.pause()
    submitted = sharded_runs.submit_shards(tmp_path, 3)
    found = report_of(submitted.run)
    assert [bar.state.value for bar in found.shards] == ["pending"] * 3
    assert {span.what for span in found.timeline.spans} == {"waiting in the queue"}


def test_hundreds_of_shards_are_counted_once_each(tmp_path: Path) -> None:
    run = reported_runs.many_shards(tmp_path, 300)
    found = report_of(run)
    assert (found.funnel.shards, found.funnel.attempts, len(found.shards)) == (300, 300, 300)
    assert found.funnel.stages[1].items_in == 300 * 1200
    assert {bar.state.value for bar in found.shards} == {"done"}


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "{}", '{"time": "x"}', '{"time": 1, "seconds": -1}', '{"time": 1, "seconds": 1, "gpus": 3}',
             '{"time": 1, "stage": "a", "task_seconds": {"x": "y"}}', '{"time": 1e300, "stage": 4, "store_used": []}'],
)  # fmt: skip
def test_damaged_lines_are_passed_over(run: Run, line: str) -> None:
    before = report_of(run)
    for path in run.paths.root.rglob("metrics.jsonl"):
        with path.open("a") as stream:
            stream.write(line + "\n")
    after = report_of(run)
    assert after.funnel == before.funnel
    assert len(after.measured.nodes) == len(before.measured.nodes)


def test_a_job_that_left_no_word_ends_where_it_was_last_seen(run: Run) -> None:
    cluster = run.paths.existing_elements()[0]
    for path in (cluster.outcome, cluster.node("n1").status):
        path.unlink()
    events = [each for each in cluster.events.read_text().splitlines() if "node_phases" not in each]
    cluster.events.write_text("\n".join(events) + "\n")
    status = json.loads(cluster.node("n2").status.read_text())
    del status["phases"]["left"], status["phases"]["ending"], status["phases"]["ray_stopped"]
    write_json(cluster.node("n2").status, status)
    timeline = report_of(run).timeline
    assert max(span.end for span in timeline.spans if span.row == "n2") == pytest.approx(T0 + 115)


def test_draining_is_shown(run: Run) -> None:
    cluster = run.paths.existing_elements()[0]
    append_jsonl(cluster.events, {"time": T0 + 100, "event": "draining", "node": None, "message": ""})
    seconds = report_of(run).timeline.seconds
    assert seconds["draining"] == 20
    assert seconds["working"] == 120


def test_a_node_that_was_lost_works_until_then(run: Run) -> None:
    cluster = run.paths.existing_elements()[0]
    events = cluster.events.read_text().splitlines(keepends=True)
    cluster.events.write_text("".join(line for line in events if '"left"' not in line or '"n2"' not in line))
    status = read_node_status(cluster.node("n2"))
    phases = {phase: at for phase, at in status["phases"].items() if phase in ("script", "agent", "joined")}
    write_json(cluster.node("n2").status, {**status, "phases": phases})
    before = max(span.end for span in report_of(run).timeline.spans if span.row == "n2")
    append_jsonl(cluster.events, {"time": T0 + 70, "event": "node_lost", "node": "n2", "message": "was lost"})
    spans = [span for span in report_of(run).timeline.spans if span.row == "n2"]
    assert max(span.end for span in spans) == pytest.approx(T0 + 70)
    assert before > T0 + 100
    assert spans[-1].what == "working"


def test_values_of_variables_are_not_in_it(tmp_path: Path) -> None:
    plan = sharded_runs.plan(tmp_path, environment={"env": {"TOKEN": "hush"}, "setup": ["export KEY=hush"]})
    keys = {"environment.env": "spec.yaml:3", "environment.setup": "spec.yaml:4", "name": "spec.yaml:1"}
    run = sharded_runs.sharded_run(tmp_path, 2, the_plan=plan.model_copy(update={"origins": keys}))
    found: RunReport = report_of(run)
    assert {each.key for each in found.ran.settings} >= {"name", "environment.env.TOKEN", "environment.setup"}
    assert "hush" not in json.dumps(to_json(found))
    assert found.made <= time.time()
