"""Runs under a fake Slurm whose processes die at random: with `retry` every row is there once in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from on_slurm.copying import assert_once, copying, make_input, rows_of
from run_dirs import keep_element, own_home

from curator_slurm.launcher.cli import main

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "asked_often")

SIGNS = {
    "driver": ("curator_slurm.launcher.driver.driver", "copying.py"),
    "agent": ("curator_slurm.launcher.agent.node_agent",),
    "any": ("",),
}


def run_of(folder: Path) -> Path:
    return max((folder / "runs").glob("*/*"), key=lambda path: path.name)


def invoke(*arguments: str, codes: Sequence[int] = (0,)) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code in codes, result.output
    return result.stdout


def kill_one(rng: random.Random, run: Path) -> str:
    """SIGKILL to one process that works on this run."""
    kind = rng.choice(sorted(SIGNS))
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if f"{run}/" in f"{command}/" and any(sign in command for sign in SIGNS[kind]) and process.pid != os.getpid():
            found.append((process.pid, command))
    if not found:
        return ""
    pid, command = rng.choice(sorted(found))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)
    return f"killed {kind}: {command[-100:]}"


def mishap(rng: random.Random, fake: FakeSlurm, run: Path) -> str:
    """A process is killed, or a node fails under a job, or Slurm takes a job off its node and starts it anew."""
    running = sorted(e.shown_id for job in fake.jobs for e in job.elements if e.state == "RUNNING")
    if running and rng.random() < 0.3:
        request, element = rng.choice(["node_fail", "requeue", "preempt", "cancel"]), rng.choice(running)
        fake.request(element, request)
        return f"{request} of {element}"
    return kill_one(rng, run)


def published(run: Path) -> dict[str, list[str]]:
    """Shard -> its rows; of a run without an array one entry."""
    found = (path.read_text().splitlines() for path in run.glob("outputs/*.jsonl"))
    return rows_of(run) or {"": sorted(line for lines in found for line in lines)}


@pytest.mark.long
@pytest.mark.parametrize("array", [True, False], ids=["array", "plain"])
@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("SEEDS", "1").split(",")])
def test_rows_are_there_once_whatever_dies(
    tmp_path: Path, fake_slurm: FakeSlurm, seed: int, array: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep_element(fake_slurm)
    fake_slurm.configure(max_array_size=6, running_elements=4)
    make_input(tmp_path, 16)
    spec = copying("chaos", "*.jsonl", {"files_per_shard": 2, "per_element": 2 - seed % 2, "max_running": 4}, 0.015)
    if not array:
        del spec["shards"]
    spec["resources"] = {"nodes": 1, "time": 10}
    spec["storage"] = {"runs": str(tmp_path / "runs")}
    spec["environment"] = {"python": sys.executable}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    invoke("run", "spec.json", "--cluster", "local")
    wanted = published(run_of(tmp_path))
    assert sum(map(len, wanted.values())) == 16 * 40
    invoke("submit", "spec.json", "--cluster", "slurm")
    run = run_of(tmp_path)
    rng, log, began = random.Random(seed), list[str](), time.monotonic()
    try:
        while len(log) < (12 if array else 4) and not all(e.final for job in fake_slurm.jobs for e in job.elements):
            log += [f"{time.monotonic() - began:.1f} {what}" for what in [mishap(rng, fake_slurm, run)] if what]
            threading.Event().wait(rng.uniform(0.1, 1.0))
        for _tries in range(8):
            for job in fake_slurm.jobs:
                fake_slurm.wait(job.id, timeout=120)
            if json.loads(invoke("status", run.name, "--json", codes=range(9)))["state"] == "completed":
                break
            log.append(invoke("retry", run.name))
            assert "Nothing to submit" not in log[-1]
        if array:
            assert_once(run, wanted)
            assert not list(run.glob("attempts/*/*/work")), "staged outputs of failed attempts are left"
        else:
            assert published(run) == wanted
            assert (run / "outputs/_shard.json").read_text() == (run / "shards/00000.done.json").read_text()
    except BaseException as error:
        error.add_note("\n".join(log))
        raise
    assert log, "nothing was disturbed"
    print(f"seed {seed}: {len(log)} mishaps and retries, {len(list(run.glob('attempts/*/*.*')))} attempts")
