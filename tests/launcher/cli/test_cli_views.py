"""Words, tables and the two views of progress."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import reported_runs
from run_dirs import STAGES as WRITTEN

from curator_slurm.launcher.cli import _run_table as run_table
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._progress import BarView, LineView, progress_text
from curator_slurm.launcher.cli._steps import BarSteps, LineSteps, amount
from curator_slurm.launcher.runs.owners import user_name
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.node_glances import NodeGlances
from curator_slurm.launcher.status.reports import ProgressReport, StageReport, StoreReport, stage_of
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.shard_status import ShardDetail, ShardState, ShardStatus
from curator_slurm.launcher.status.views import RunRow

STAGES = tuple(map(stage_of, WRITTEN))


def status(state: RunState, message: str = "", **progress: Any) -> RunStatus:
    """The status of a run of one shard."""
    shard = ShardStatus(shard=0, state=ShardState.RUNNING, detail=ShardDetail(progress=ProgressReport(**progress)))
    return RunStatus(state=state, message=message, details={0: shard})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (59.4, "59s"), (61, "1m 01s"), (3725, "1h 02m"), (90000, "1d 01h"), (-5, "0s")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0"), (1234567, "1,234,567"), (2.0, "2"), (2.55, "2.5"), (True, "-")]
)
def test_counts(number: object, text: str) -> None:
    assert words.count(number) == text


def test_tables_fit_and_the_first_column_gives_way() -> None:
    lines = words.table(["stage", "in"], [["a" * 100, "12"], ["b", "3"]], 40)
    assert all(len(line) <= 40 for line in lines)
    assert lines[1].endswith("...  12")
    assert lines[2].endswith("   3")


def test_the_stage_table_compares_items() -> None:
    header, first, second = words.stage_table(STAGES, 69)
    assert header.split()[-1] == "kept"
    assert first.split()[-1] == "-"
    assert second.split()[-3:] == ["650", "550", "54%"]
    assert len(header) <= 69
    assert words.stage_table([], 69) == []
    untold = [StageReport(name="a", items_out=10), StageReport(name="b", items_in=10, items_out=500)]
    assert words.stage_table(untold, 69)[2].split()[-2:] == ["-", "-"], (
        "kinds are unknown: files and documents are not compared"
    )
    assert words.stage_table([StageReport(name="odd")], 69)[1].split() == ["odd", *["-"] * 6]


@pytest.mark.parametrize(
    ("taken", "given", "failed", "dropped", "kept"),
    [
        (1080, 1075, 0, "5", "99.5%"),
        (1000, 396, 0, "604", "40%"),
        (1_000_000, 999_999, 0, "1", ">99.999%"),
        (100_000, 99_999, 0, "1", "99.999%"),
        (1_000_000, 1, 0, "999,999", "<0.001%"),
        (3000, 1, 0, "2,999", "0.03%"),
        (10, 10, 0, "0", "100%"),
        (10, 0, 0, "10", "0%"),
        (10, 0, 10, "0", "0%"),
        (10, 25, 0, "0", "250%"),
        (0, 0, 0, "0", "-"),
    ],
)
def test_dropped_items_are_counted_and_no_share_is_rounded_to_all_or_nothing(taken, given, failed, dropped, kept):
    reader = StageReport(name="read", kind="DocumentBatch", tasks_out=4, items_out=taken)
    stage = StageReport(
        name="filter", kind="DocumentBatch", tasks_in=4, tasks_out=4, tasks_filtered=0, items_in=taken,
        items_out=given, items_failed=failed,
    )  # fmt: skip
    assert words.stage_table([reader, stage], 90)[2].split()[-2:] == [dropped, kept]


def test_a_stage_that_drops_everything_has_no_kind_of_its_own() -> None:
    reader = StageReport(name="read", kind="DocumentBatch", tasks_out=4, items_out=604)
    empty = StageReport(name="filter", tasks_in=4, tasks_out=0, tasks_filtered=4, items_in=604, items_out=0)
    assert words.stage_table([reader, empty], 90)[2].split()[-2:] == ["604", "0%"]


def test_what_a_stage_is_at() -> None:
    busy = StageReport(name="classify", tasks_in=12, expected_about=40, workers=2, queued=3, rate=1.5, eta_s=18)
    assert words.stage_progress(busy) == "classify 12/~40 (2 workers, 3 waiting, 1.5/s, 18s left)"
    over = StageReport(name="read", tasks_in=12, expected=12, workers=0, queued=0, rate=2.0, tasks_failed=1)
    assert words.stage_progress(over) == "read 12/12 (1 failed)"
    assert words.stage_progress(StageReport(name="odd")) == "odd -"


def test_notes_that_there_is_no_room_for_are_left_out() -> None:
    busy = StageReport(workers=12, queued=3000, rate=150.0, eta_s=20, tasks_failed=1)
    assert words.fitting_notes(busy, 80) == "12 workers, 3,000 waiting, 150.0/s, 20s left, 1 failed"
    assert words.fitting_notes(busy, 30) == "12 workers, 20s left, 1 failed"
    assert words.fitting_notes(busy, 0) == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 KiB"),
        (7_040_340_787, "6.6 GiB"),
        (True, "-"),
    ],
)
def test_sizes(number: object, text: str) -> None:
    assert words.size(number) == text


def test_the_object_store() -> None:
    usage = StoreReport(used_bytes=1 << 20, peak_bytes=2 << 20, capacity_bytes=7 << 30, spilled_bytes=500 << 20)
    assert words.object_store(usage) == "1.0 MiB of 7.0 GiB, at most 2.0 MiB, 500 MiB spilled to disk"
    assert words.object_store(StoreReport()) == words.object_store(None) == ""
    text = progress_text(running(stages=STAGES, object_store=usage))
    assert text.endswith("| 500 MiB spilled")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def running(**more: Any) -> RunStatus:
    return status(RunState.RUNNING, **more)


def test_lines_only_when_something_has_changed() -> None:
    lines: list[str] = []
    clock = Clock()
    view = LineView(lines.append, clock)
    view.show(status(RunState.PENDING, "Job 1 waits: priority."))
    view.show(status(RunState.PENDING, "Job 1 waits: priority."))
    clock.now += 1
    view.show(status(RunState.PENDING, "Job 1 waits: resources."))
    assert [line[9:] for line in lines] == ["pending   Job 1 waits: priority.", "pending   Job 1 waits: resources."]


def test_progress_lines_do_not_flood_a_log() -> None:
    lines: list[str] = []
    clock = Clock()
    view = LineView(lines.append, clock)
    for step in range(20):
        view.show(running(stages=(StageReport(name="reader", tasks_in=step, expected=40),)))
        clock.now += 1
    assert [line.split()[-1] for line in lines] == ["0/40", "5/40", "10/40", "15/40"]


def test_a_heartbeat_every_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    view = LineView(lines.append, clock)
    for _ in range(130):
        view.show(running(message="still at it"))
        clock.now += 1
    assert len(lines) == 3


def test_the_last_line_of_a_command_is_shown_and_does_not_flood_a_log() -> None:
    lines: list[str] = []
    clock = Clock()
    view = LineView(lines.append, clock)
    for step in range(12):
        view.show(running(message="on n1"), f"epoch\t{step}\x1b[2J")
        clock.now += 1
    view.show(status(RunState.COMPLETED), "saved 7 files")
    assert [line[9:] for line in lines] == [
        "running   on n1 | epoch 0\\x1b[2J",
        "running   on n1 | epoch 5\\x1b[2J",
        "running   on n1 | epoch 10\\x1b[2J",
        "completed saved 7 files",
    ]


def test_the_last_line_of_a_command_is_beside_its_bar(capsys: pytest.CaptureFixture[str]) -> None:
    view = BarView()
    view.show(running(), "epoch [3] of 7")
    view.close()
    assert "epoch [3] of 7" in capsys.readouterr().out


def test_a_change_of_state_is_said_at_once() -> None:
    lines: list[str] = []
    view = LineView(lines.append, Clock())
    view.show(running(stages=STAGES))
    view.show(status(RunState.COMPLETED, stages=STAGES))
    assert lines[-1].endswith("completed")
    view.close()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    view = BarView()
    view.show(status(RunState.STARTING, "[1] of 2 nodes"))
    view.show(running(stages=(replace(STAGES[0], name="read [gz]"), replace(STAGES[1], expected=None))))
    view.show(status(RunState.COMPLETED, stages=STAGES))
    view.close()
    out = capsys.readouterr().out
    assert "[1] of 2 nodes" in out
    assert "read [gz]" in out
    assert "1 failed" in out


@pytest.mark.parametrize("columns", ["80", "40"])
def test_nodes_are_below_the_bars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run = reported_runs.measured_run(tmp_path)
    view = BarView()
    view.show(running(stages=STAGES))
    view.show_nodes(NodeGlances(run.paths))
    view._live.refresh()
    view.close()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("n1 ") and "75%" in line for line in lines)
    assert max(map(len, lines)) <= int(columns)


def test_steps_without_a_terminal_say_little(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 6.0, 7.0, 70.0, 80.0])
    steps = LineSteps(clock=lambda: next(times))
    for number in range(5):
        steps.show("publishing bytes", number * 1024, 4096)
    steps.close()
    assert capsys.readouterr().err == "publishing bytes: 1.0 KiB of 4.0 KiB\npublishing bytes: 3.0 KiB of 4.0 KiB\n"


def test_amounts_of_steps() -> None:
    assert amount("verifying shards", 12, 4000) == "12/4,000"
    assert amount("listing", 1200, None) == "1,200"
    assert amount("merging bytes", 5 * 2**30, 10 * 2**30) == "5.0 GiB of 10.0 GiB"


def test_bars_of_steps_close() -> None:
    steps = BarSteps()
    steps.show("listing", 3, None)
    steps.show("listing", 10, 10)
    steps.close()


def _rows(now: float) -> list[RunRow]:
    fields = dict.fromkeys(RunRow.__dataclass_fields__)
    row = RunRow(
        **{
            **fields,
            "run_id": "20260105-101112-abcd",
            "name": "a-name-that-is-rather-long-for-a-run-of-its-kind",
            "state": RunState.COMPLETED,
            "array": True,
            "shards": 10_000,
            "shards_done": 9_999,
            "cluster": "slurm",
            "job_id": "4711234",
            "created": now - 60,
            "started": now - 50,
            "ended": now - 5,
            "owner": user_name(os.geteuid()),
        }
    )
    return [row, replace(row, name="b", array=False, created=now - 500 * 86400)]


@pytest.mark.parametrize(("limit", "headers"), [
    (40, "NAME STATE DATE"),
    (60, "NAME RUN STATE DATE"),
    (80, "NAME RUN STATE SHARDS TIME DATE"),
    (100, "NAME RUN STATE SHARDS JOB TIME DATE"),
    (None, "NAME RUN STATE SHARDS JOB TIME DATE"),
])  # fmt: skip
def test_a_list_fits_its_terminal_and_is_whole_in_a_pipe(limit: int | None, headers: str) -> None:
    now = time.mktime((2026, 6, 5, 10, 11, 12, 0, 0, -1))
    lines = [click.unstyle(line) for line in run_table._table(_rows(now), limit, now)]
    assert lines[0].split() == headers.split()
    if limit is None:
        assert lines[1].startswith(_rows(now)[0].name)
    else:
        assert max(map(len, lines)) <= limit
    assert lines[1].endswith("06-05 10:10")
    assert lines[2].endswith("2025-01-21")
