"""What others wrote never controls a terminal: every verb, with escape sequences wherever a run has text."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import STAGES, event, new_attempt, node_status, outcome, own_home, progress, submitted_run
from sharded_runs import fail, publish, submit_shards

from curator_slurm.launcher import cli
from curator_slurm.launcher.cli import _terminal, main
from curator_slurm.launcher.cli._progress import BarView
from curator_slurm.launcher.cli._steps import BarSteps
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.reports import ProgressReport, stage_of
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.shard_status import ShardDetail, ShardState, ShardStatus

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "colours")

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[1A\x9b31m\x7f\x08\u202egnp\u2066\x1b[31m"
"""Title, screen, cursor, a C1 sequence, DEL, backspace, direction of writing, a colour that nobody resets."""
FORGED = "x\nState      completed"
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_OUR_COLOURS = re.compile(r"\x1b\[3\dm\x1b\[1m[a-z ]+\x1b\[0m")


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal, where click takes no escape sequence out."""
    monkeypatch.delenv("NO_COLOR", raising=False)


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False, color=True)
    assert result.exit_code != 1, result.output
    return result


def assert_tame(*arguments: object, shows: str = "\\x1b]0;owned\\x07\\x1b[2J") -> Result:
    result = call(*arguments)
    output = _OUR_COLOURS.sub("", result.stdout + result.stderr)
    assert _CONTROL.findall(output) == [], output
    assert "\nState      completed" not in output
    assert shows in output
    return result


def hostile_run(folder: Path, state: str) -> Any:
    """A run in whose files every text is hostile."""
    run = submitted_run(folder / "runs")
    attempt = new_attempt(run)
    event(attempt, "driver_started", HOSTILE)
    node_status(attempt, f"n1{HOSTILE}", "failed", message=HOSTILE, next_step=HOSTILE)
    attempt.driver_log.write_text(f"{HOSTILE}\n 10%|#  |\r 20%|## |\r\n", newline="")
    attempt.run.slurm_log("4711").write_text(HOSTILE)
    attempt.cluster.node("n2").root.mkdir(exist_ok=True)
    attempt.cluster.node("n2").agent_log.write_text(HOSTILE)
    progress(attempt, stages=[{**STAGES[0], "name": FORGED + HOSTILE}, {**STAGES[1], "name": HOSTILE * 3}])
    if state != "running":
        outcome(
            attempt,
            state,
            failure_class=None if state == "completed" else "app_failed",
            message=HOSTILE,
            evidence=[HOSTILE, FORGED],
            next_step=HOSTILE,
            nodes=[f"n1{HOSTILE}"],
            outputs=f"/out/{HOSTILE}",
        )
    return run


@pytest.mark.parametrize("state", ["failed", "completed"])
@pytest.mark.parametrize("verb", ["status", "watch"])
def test_a_hostile_run(tmp_path: Path, fake_slurm: FakeSlurm, state: str, verb: str) -> None:
    run = hostile_run(tmp_path, state)
    assert_tame(verb, run.paths.root)
    listed = call("list", "--runs-dir", tmp_path / "runs")
    assert _CONTROL.findall(_OUR_COLOURS.sub("", listed.output)) == []
    assert "\x1b[31m\x1b[1mfailed\x1b[0m" in listed.stdout or state == "completed", "our own colours stay"


@pytest.mark.parametrize("option", ["--driver", "--slurm", "--agent=n2", "--all", "--follow"])
def test_the_logs_of_a_hostile_run(tmp_path: Path, fake_slurm: FakeSlurm, option: str) -> None:
    run = hostile_run(tmp_path, "failed")
    result = assert_tame("logs", run.paths.root, option)
    if option in ("--driver", "--follow"):
        assert "\n 10%|#  |\n 20%|## |\n" in result.stdout


def test_raw_logs_are_as_they_are(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = hostile_run(tmp_path, "failed")
    (log,) = run.paths.root.glob("attempts/*/*/driver.log")
    result = CliRunner().invoke(main, ["logs", str(run.paths.root), "--raw"])
    assert result.stdout_bytes == log.read_bytes()


@pytest.mark.parametrize("arguments", [["status"], ["list"], ["logs", "--list"]])
def test_json_needs_no_trust(tmp_path: Path, fake_slurm: FakeSlurm, arguments: list[str]) -> None:
    run = hostile_run(tmp_path, "failed")
    verb, *options = arguments
    where = [] if verb == "list" else [run.paths.root]
    result = call(verb, *where, *options, "--json", "--runs-dir", tmp_path / "runs")
    assert re.findall(r"[^\x20-\x7e\n]", result.stdout) == []
    if verb == "status":
        assert json.loads(result.stdout)["message"] == HOSTILE


def test_a_hostile_sharded_run(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    submitted = submit_shards(tmp_path, 3)
    for job in submitted.job_ids:
        fake_slurm.wait(job)
    run = submitted.run
    fail(run, 1, "4711_1.9", "app_failed", HOSTILE, evidence=[HOSTILE], next_step=HOSTILE)
    (run.paths.root / "shards" / "00001.done.json").unlink(missing_ok=True)
    publish(run, 0)
    for arguments in (["status"], ["status", "--shard", "1"], ["status", "--failed"], ["logs", "--failed"]):
        verb, *options = arguments
        result = call(verb, run.paths.root, *options)
        assert _CONTROL.findall(_OUR_COLOURS.sub("", result.output)) == []


def test_a_hostile_spec(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    shown = "\\u202e"
    path.write_text(
        'name: "a\\e[2J\\u202e"\npipeline: {command: "true"}\nresources: {partition: "\\u202ex", "k\\e\\u202e": 1}\n'
    )
    for arguments in (["validate"], ["plan"], ["render"], ["submit", "--dry-run"], ["validate", "--json"]):
        verb, *options = arguments
        assert_tame(verb, path, "--cluster", "slurm", *options, shows=shown)


def test_words_of_the_command_line(tmp_path: Path) -> None:
    for arguments in (
        ["status", f"run{HOSTILE}"],
        [f"verb{HOSTILE}"],
        ["status", f"--option{HOSTILE}"],
        [f"--option{HOSTILE}"],
        ["validate", f"{tmp_path}/{HOSTILE}"],
        ["logs", "x", "--shard", HOSTILE],
        ["submit", "x", "--cluster", HOSTILE],
    ):
        result = CliRunner().invoke(main, arguments, color=True)
        assert result.exit_code in (2, 3), result.output
        assert _CONTROL.findall(result.output) == [], arguments


def test_what_slurm_answers(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """sbatch's own words, and those of a site's plug-in, are quoted in a message."""
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({"name": "n", "pipeline": {"command": "true"}, "storage": {"runs": str(tmp_path)}}))
    fake_slurm.fail_next("sbatch", stderr=f"sbatch: error: {HOSTILE}\n")
    result = assert_tame("submit", path, "--cluster", "slurm")
    assert result.exit_code == 5


def test_bugs_are_told_without_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("curator_slurm.launcher.runs.registry.find_run", explode)
    monkeypatch.setenv("CURATOR_SLURM_DEBUG", "1")
    result = CliRunner().invoke(main, ["cancel", "x"], color=True)
    assert result.exit_code == 1
    assert _CONTROL.findall(result.output) == []


def test_bars(capsys: pytest.CaptureFixture[str]) -> None:
    shard = ShardStatus(
        shard=0,
        state=ShardState.RUNNING,
        detail=ShardDetail(progress=ProgressReport(stages=(stage_of({**STAGES[0], "name": HOSTILE}),))),
    )
    view = BarView()
    view.show(RunStatus(state=RunState.STARTING, message=HOSTILE))
    view.show(RunStatus(state=RunState.RUNNING, message=HOSTILE, details={0: shard}))
    view.close()
    steps = BarSteps()
    steps.show(HOSTILE, 1, 2)
    steps.close()
    captured = capsys.readouterr()
    assert _CONTROL.findall(captured.out + captured.err) == []
    assert "owned" in captured.out


def in_a_terminal(*arguments: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "curator_slurm", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}):
        os.close(theirs)
        chunks = list(iter(lambda: _read(ours), b""))
    os.close(ours)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_a_script_is_exact_in_a_pipe_and_visible_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text('name: n\npipeline: {command: "true"}\nenvironment: {env: {A: "\\u202e\\x9b31m"}}\n')
    piped = call("render", path, "--cluster", "slurm").stdout
    assert "export A='\u202e\x9b31m'" in piped
    shown = in_a_terminal("render", str(path), "--cluster", "slurm")
    assert "export A='\\u202e\\x9b31m'" in shown
    assert _CONTROL.findall(shown) == []


def _prints(tree: ast.AST) -> Iterator[str]:
    """Calls and names that put text on a terminal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text in (
                "click.echo",
                "click.secho",
                "click.prompt",
                "click.confirm",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                yield text
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield "print"


def test_one_module_prints() -> None:
    """Everything else goes through its `say`; bars are drawn by rich, in two modules that this file tests."""
    folder = Path(str(cli.__file__)).parent
    found = {path.name: sorted(set(_prints(ast.parse(path.read_text())))) for path in sorted(folder.glob("*.py"))}
    assert {name for name, prints in found.items() if prints} == {Path(str(_terminal.__file__)).name}
    with_rich = {
        path.name for path in folder.glob("*.py") if re.search(r"^\s*from rich", path.read_text(), re.MULTILINE)
    }
    assert with_rich == {"_progress.py", "_steps.py"}
