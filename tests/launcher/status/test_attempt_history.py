"""The history of a run: its attempts and what they cost, its events in one timeline, its logs over restarts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, node_status, outcome, own_home, submit_again, submitted_run
from sharded_runs import fail, publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import RESTART, SubmissionRecord, write_submission
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_history import attempts_of
from curator_slurm.launcher.status.logs import Wanted, follow
from curator_slurm.launcher.status.time_left import over_restarts
from curator_slurm.launcher.status.view_schema import schema_of
from curator_slurm.launcher.status.views import AttemptView

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")
T = 1_000_000.0


def call(*arguments: object, expect: int = 0) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result.output


def call_json(*arguments: object, schema: str = "", expect: int = 0) -> Any:
    value = json.loads(call(*arguments, "--json", expect=expect))
    if schema:
        jsonschema.validate(value, schema_of(schema))
    return value


def interrupted_run(folder: Path) -> Run:
    """Preempted after an hour with 120 sources, then lost with 150, then at work, requeued by Slurm each time."""
    run = submitted_run(folder)
    first = new_attempt(run)
    more = {"sources_before": 0, "sources_finished": 120, "last_finished": T + 3600 - 36}
    outcome(first, "failed", failure_class="preempted", started=T, ended=T + 3600, **more)
    second = new_attempt(run, restart=1)
    for node in ("n1", "n3"):
        node_status(second, node, "joined")
    second.element.symlink_to("nowhere")
    os.utime(second.element, (T + 4000, T + 4000), follow_symlinks=False)
    os.utime(second.cluster.heartbeat, (T + 4000 + 1800, T + 4000 + 1800))
    third = new_attempt(run, restart=2)
    event(third, "driver_started")
    write_json(second.takeover, {"of": first.name, "sources_before": 120})
    write_json(third.takeover, {"of": second.name, "sources_before": 150, "last_finished": T + 4000 + 1440})
    return run


def test_how_each_attempt_ended_and_what_it_cost(tmp_path: Path) -> None:
    run = interrupted_run(tmp_path)
    first, second, third = attempts_of(run, 0, None, T + 6000)
    assert [each.attempt for each in (first, second, third)] == ["4711.0", "4711.1", "4711.2"]
    assert (first.state, first.failure_class, first.blame) == (RunState.FAILED, "preempted", "site")
    assert (first.sources_before, first.sources_finished, first.nodes) == (0, 120, ("n1", "n2"))
    assert (first.node_hours, first.wasted_node_hours) == (2.0, 0.02)
    assert (second.state, second.nodes, second.job_id) == (None, ("n1", "n3"), "4711")
    assert "no word" in second.message
    assert (second.sources_before, second.sources_finished) == (120, 150)
    assert (second.node_hours, second.wasted_node_hours) == (1.0, 0.2)  # by what the third one has found
    assert (third.number, third.sources_before) == (3, 150)


def test_an_attempt_that_finished_nothing_is_wasted_and_a_command_tells_nothing(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    attempt = new_attempt(run)
    outcome(attempt, "failed", failure_class="node_failed", started=T, ended=T + 1800)
    [view] = attempts_of(run, 0, None, T)
    assert (view.sources_finished, view.node_hours, view.wasted_node_hours) == (0, 1.0, 1.0)
    attempt.command_script.touch()
    [view] = attempts_of(run, 0, None, T)
    assert (view.sources_before, view.sources_finished, view.wasted_node_hours) == (None, None, None)


def test_a_job_that_ended_before_its_attempt_began_is_one(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    run.paths.element("4711", 0).mkdir(parents=True)
    write_json(
        run.paths.element("4711", 0) / "outcome.json",
        {"state": "failed", "failure_class": "bootstrap_timeout", "started": T, "ended": T + 60, "nodes": ["n1"]},
    )
    new_attempt(run, restart=1)
    assert [(each.attempt, each.failure_class) for each in attempts_of(run, 0, None, T)] == [
        ("4711.0", "bootstrap_timeout"),
        ("4711.1", None),
    ]


def test_status_and_list_show_restarts(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = interrupted_run(tmp_path)
    where = (run.run_id, "--runs-dir", tmp_path)
    shown = call_json("status", *where, schema="status")
    assert (shown["restarts"], len(shown["attempts"]), shown["state"]) == (2, 3, "running")
    assert shown["attempts"][2]["state"] == "running"
    assert (shown["usage"]["attempts"], shown["usage"]["restarts"]) == (3, 2)
    text = call("status", *where)
    assert "120 (+120)" in text
    assert "3 attempts, 2 restarts" in text
    assert call_json("status", *where, "--attempts", schema="status-attempts")["attempts"] == shown["attempts"]
    assert "4711.1" in call("status", *where, "--attempts")
    [row] = call_json("list", "--runs-dir", tmp_path, schema="list")
    assert row["restarts"] == 2
    assert "RESTARTS" in call("list", "--runs-dir", tmp_path)
    assert "give one of" in call("status", *where, "--attempts", "--events", expect=2)


def test_restarts_of_an_array_are_counted_by_names(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = sharded_run(tmp_path, 3)
    for number, purpose, shards in ((0, "submit", (0, 1, 2)), (1, RESTART, (2,))):
        record = SubmissionRecord(
            number=number, purpose=purpose, prepared=1.0, comment="", elements=len(shards), shards=len(shards),
            array="0-2", job_id=str(4711 + number), submitted=1.0,
        )  # fmt: skip
        write_submission(run.paths, record, [Element(shard, (shard,)) for shard in shards], {})
    for name in ("4711_0.0", "4711_1.0", "4711_1.1", "4711_2.0", "4712_2.0"):
        (run.paths.elements / name).mkdir(parents=True)
    (run.paths.elements / "slurm-4711_0.log").touch()
    publish(run, 0, "4711_0.0")
    fail(run, 1, "4711_1.0", "preempted")
    fail(run, 1, "4711_1.1", "time_limit")
    shown = call_json("status", run.paths.root, schema="status", expect=7)
    assert (shown["restarts"], shown["attempts"], shown["usage"]) == (2, [], None)
    assert "2 restarts" in call("status", run.paths.root, expect=7)
    found = call_json("status", run.paths.root, "--attempts", schema="status-attempts", expect=7)
    assert [(each["attempt"], each["failure_class"]) for each in found["attempts"] if each["shard"] == 1] == [
        ("4711_1.0", "preempted"),
        ("4711_1.1", "time_limit"),
    ]
    one = call_json("status", run.paths.root, "--attempts", "--shard", 1, schema="status-attempts", expect=7)
    assert ({each["shard"] for each in one["attempts"]}, one["usage"]["restarts"]) == ({1}, 1)


def attempt_view(**more: Any) -> AttemptView:
    value = dict.fromkeys(AttemptView.__dataclass_fields__)
    return AttemptView(**{**value, **more})  # type: ignore[arg-type]


def test_the_end_over_restarts() -> None:
    half = [
        attempt_view(started=T, ended=T + 1000, node_hours=1.0, wasted_node_hours=0.5),
        attempt_view(started=T + 1000),
    ]
    assert over_restarts(None, T, T, half) is None
    assert over_restarts(100.0, None, T + 1000, half) == 100.0  # no limit
    assert over_restarts(100.0, T + 1200, T + 1000, half) == 100.0  # before it
    assert over_restarts(500.0, T + 1200, T + 1000, half) == 200.0 + 300.0 * 2
    assert over_restarts(500.0, T + 1200, T + 1000, []) == 500.0  # nobody knows yet


# Events


def add_event(attempt: AttemptPaths, at: float, message: str, shard: int | None = None) -> None:
    append_jsonl(attempt.cluster.events, {"time": at, "event": "x", "node": None, "message": message, "shard": shard})


def test_events_of_all_attempts_are_one_timeline(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    first, second = new_attempt(run), new_attempt(run, restart=1)
    for attempt in (first, second):
        attempt.cluster.events.unlink()
    add_event(first, T + 5, "one")
    add_event(first, T + 1, "two, by a clock that was set back")
    add_event(second, T + 6, "three")
    with first.cluster.events.open("a") as stream:
        stream.write('{"torn\n[1]\n')
    found = call_json("status", run.run_id, "--runs-dir", tmp_path, "--events", schema="status-events")["events"]
    assert [each["message"][:5] for each in found] == ["one", "two, ", "three", "job 4"]
    assert [each["seconds"] for each in found[:3]] == [0.0, 0.0, 1.0]
    assert [each["attempt"] for each in found] == ["4711.0", "4711.0", "4711.1", None]
    text = call("status", run.run_id, "--runs-dir", tmp_path, "--events")
    assert text.index("==> 4711.0 <==") < text.index("two, by") < text.index("==> 4711.1 <==") < text.index("three")


def test_events_of_one_shard(tmp_path: Path) -> None:
    run = sharded_run(tmp_path, 2)
    element = run.paths.element("4711_0", 0)
    for shard in (0, 1):
        attempt = AttemptPaths(run.paths.attempts / f"{shard:05d}" / element.name, run.paths)
        attempt.root.mkdir(parents=True)
    element.mkdir(parents=True)
    for shard in (None, 0, 1):
        add_event(attempt, T, f"of {shard}", shard)
    found = call_json("status", run.paths.root, "--events", "--shard", 1)["events"]
    assert [each["message"] for each in found] == ["of None", "of 1"]


# Logs


def test_logs_of_any_attempt(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    for restart in range(3):
        new_attempt(run, restart=restart).driver_log.write_text(f"of {restart}\n")
    where = (run.run_id, "--runs-dir", tmp_path)
    assert call("logs", *where) == "of 2\n"
    assert [call("logs", *where, "--attempt", each) for each in (1, "4711.1", 3)] == ["of 0\n", "of 1\n", "of 2\n"]
    assert "there are: 1 4711.0, 2 4711.1, 3 4711.2" in call("logs", *where, "--attempt", 4, expect=2)
    sharded = sharded_run(tmp_path / "sharded", 2)
    assert "--shard N" in call("logs", sharded.paths.root, "--attempt", 1, expect=2)


def test_logs_are_followed_over_restarts(tmp_path: Path) -> None:
    run = submitted_run(tmp_path)
    first = new_attempt(run)
    first.driver_log.write_text("one\n")
    steps = iter(range(4))
    said: list[str] = []

    def next_step() -> bool:
        """What happens between two readings; whether the run is over then."""
        step = next(steps)
        if step == 1:  # a last line, and another attempt, whose driver has not begun
            with first.driver_log.open("a") as stream:
                stream.write("two\n")
            new_attempt(run, restart=1)
            run.paths.slurm_log("4711").write_text("from slurm\n")
        if step == 2:
            submit_again(run, "4712")
            new_attempt(run, "4712").driver_log.write_text("three\n")
        return step == 3

    for chunk in follow(run, Wanted(), None, next_step, sleep=lambda _: None):
        said += [f"{chunk.file.path.parent.name}: {chunk.text}"]
    assert said == ["4711.0: one\n", "4711.0: two\n", "4712.0: three\n"]
