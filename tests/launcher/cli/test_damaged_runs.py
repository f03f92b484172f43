"""Every file of a run directory, damaged in every way: each verb ends in time, says so, and other runs are shown."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import damage
import faults
import pytest
from click.testing import CliRunner
from run_dirs import own_home
from sharded_runs import fail, failed_tasks, publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run, add_job_ids, run_comment
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, note_collect_job, write_submission
from curator_slurm.launcher.slurm.client import Slurm

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

SECONDS = 60
"""For all verbs on one damaged run; the suite's machines are slow, and a FIFO blocks for ever."""
EVERY = bool(os.environ.get("EVERY_DAMAGE"))
MEMORY = 1 << 30
"""What they may have beyond what the tests have."""
HEADERS = {
    "squeue": "{}\n",
    "sacct": "JobID|State|ExitCode|Submit|Start|End|NodeList|Timelimit\n",
}
ELEMENT = "4711_1.0"
VERBS = (
    ("status",),
    ("status", "--json"),
    ("status", "--shard", "1"),
    ("logs", "--all", "-n", "5"),
    ("logs", "-f", "-n", "5"),
    ("watch", "--interval", "0.1"),
    ("cancel",),
    ("collect",),
    ("retry", "--dry-run"),
)


def answer(_: Slurm, command: Sequence[str]) -> str:
    """Slurm knows no job any more."""
    from curator_slurm.launcher.slurm.parse import _COLUMNS

    if command[0] == "squeue":
        columns = command[-1].removeprefix("--format=").split("|")
        return "|".join(_COLUMNS[column] for column in columns) + "\n"
    return HEADERS.get(command[0], "")


def whole_run(folder: Path) -> Run:
    """A run with one file of each kind: shard 0 is done, shard 1 has failed."""
    run = sharded_run(folder, 2)
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=time.time(), submitted=time.time(), comment=run_comment(run.run_id),
        elements=2, shards=2, array="0-1", job_id="4711",
    )  # fmt: skip
    write_submission(run.paths, record, [Element(0, (0,)), Element(1, (1,))], {})
    run = add_job_ids(run, ["4711"])
    publish(run, 0, attempt="4711_0.0")
    fail(
        run, 1, ELEMENT, "app_failed", exit_code=1, started=time.time(), ended=time.time(), nodes=["n1"], evidence=["x"]
    )
    failed_tasks(run, 1, ELEMENT, [{"stage": "s", "error": "e"}])
    write_json(run.paths.attempts / "00001" / ELEMENT / "progress.json", {"stages": [{"name": "a", "tasks_in": 1}]})
    cluster = run.paths.elements / ELEMENT
    (cluster / "nodes" / "n1").mkdir(parents=True)
    shutil.copy(run.paths.attempts / "00001" / ELEMENT / "outcome.json", cluster)
    write_json(cluster / "nodes" / "n1" / "status.json", {"node": "n1", "state": "left", "time": 1.0})
    for name in ("nodes/n1/agent.log", "nodes/n1/ray.out", "heartbeat", "exit-code"):
        (cluster / name).write_text("0\n")
    append_jsonl(cluster / "events.jsonl", {"time": 1.0, "event": "driver_started", "message": "x"})
    (run.paths.elements / "slurm-4711_1.log").write_text("the batch script\n")
    (cluster / "slurm.log").symlink_to("../slurm-4711_1.log")
    note_collect_job(run.paths, {"job_id": "4712"})
    write_json(
        run.paths.collected, {"schema": 1, "target": "/x", "complete": True, "time": 1.0, "files": 1, "bytes": 1}
    )
    run.paths.lock("submissions").write_text('{"token": "x", "host": "elsewhere", "pid": 1, "time": 1.0}')
    os.utime(run.paths.lock("submissions"), (1, 1))
    return run


def places(run: Run) -> list[str]:
    """Every file and folder of the run, by its path in it."""
    return [str(path.relative_to(run.paths.root)) for path in sorted(run.paths.root.rglob("*"))]


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def check(folder: Path, run: Run, healthy: Run) -> None:
    """All verbs; in a process of its own that dies when they take too long, and has little memory."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    code, output = call("list", "--runs-dir", folder / "runs")
    assert code == 0, output
    assert healthy.run_id in output
    assert run.run_id in output
    for verb, *options in VERBS:
        code, output = call(verb, run.paths.root, *options)
        assert "bug in curator-slurm" not in output, f"{verb} {options}: {output}"
        assert "Traceback" not in output, f"{verb} {options}: {output}"
        assert code in (0, 2, 3, 5, 6, 7, 8), f"{verb} {options}: {code}\n{output}"


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Run, Run]:
    """A folder with a run to be damaged and a healthy one."""
    monkeypatch.setattr(Slurm, "run", lambda self, command, **_: answer(self, command))
    monkeypatch.setattr("curator_slurm.launcher.slurm.client.is_available", lambda: True)
    monkeypatch.setattr(RunLock.__init__, "__kwdefaults__", {"patience_s": 5.0, "stale_s": 0.2})
    monkeypatch.setattr("curator_slurm.launcher.status.watch.UNREADABLE_S", 0.2)
    monkeypatch.setattr("curator_slurm.launcher.cli._print_logs.STATE_INTERVAL_S", 0.2)
    return tmp_path, whole_run(tmp_path), sharded_run(tmp_path, 1)


def survives(folder: Path, run: Run, healthy: Run, what: object = "") -> bool:
    survived = faults.in_child(lambda: check(folder, run, healthy)) == 0
    if EVERY:  # it takes long, and whoever stops it wants to know what it has found
        print("survives" if survived else "FAILED", what, flush=True)
    return survived


def test_a_run_that_is_whole(damaged: tuple[Path, Run, Run]) -> None:
    folder, run, healthy = damaged
    assert survives(folder, run, healthy)
    assert call("status", run.paths.root)[0] == 7


def pairs(places: Sequence[str], kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each place with one kind of damage, each kind at some places; with EVERY_DAMAGE set, all with all."""
    count = len(kinds) if EVERY else 1
    for number, place in enumerate(places):
        for step in range(count):
            yield place, kinds[(number * count + step) % len(kinds)]


@pytest.mark.long
def test_something_else_in_the_place_of_a_file(damaged: tuple[Path, Run, Run]) -> None:
    folder, run, healthy = damaged
    kept, failed = folder / "kept", []
    shutil.copytree(run.paths.root, kept, symlinks=True)
    for place, kind in pairs(places(run), list(damage.IN_PLACE)):
        damage.replace_file(run.paths.root / place, kind)
        failed += [] if survives(folder, run, healthy, (place, kind)) else [(place, kind)]
        shutil.rmtree(run.paths.root)
        shutil.copytree(kept, run.paths.root, symlinks=True)
    assert not failed


@pytest.mark.long
def test_something_else_in_the_place_of_every_value(damaged: tuple[Path, Run, Run]) -> None:
    folder, run, healthy = damaged
    failed = []
    files = [place for place in places(run) if place.endswith((".json", ".jsonl", ".lock"))]
    for place, kind in pairs(files, list(damage.VALUES)):
        path = run.paths.root / place
        before = path.read_bytes()
        damage.replace_values(path, kind)
        os.utime(path, (1, 1))  # a lock that was touched lately is one that somebody holds
        failed += [] if survives(folder, run, healthy, (place, kind)) else [(place, kind)]
        path.write_bytes(before)
        os.utime(path, (1, 1))
    assert not failed


def test_a_log_of_one_line_is_not_read_whole(tmp_path: Path) -> None:
    from curator_slurm.launcher import tails

    log = tmp_path / "log"
    with log.open("wb") as stream:
        stream.truncate(600 << 20)
    assert len(tails.tail(log, 3)) <= tails.TAIL_BYTES
    assert len(tails.last_lines(log, 3)) <= 1
    assert len(tails.GrowingFile(log).read()) <= tails.TAIL_BYTES
