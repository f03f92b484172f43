"""The driver of a run killed by SIGKILL at random moments, and the next attempt at once after it: on all back ends."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engines import FULL, engines
from killed_driver import pipeline
from loop import TrackedLoop
from run_dirs import new_run
from xenna_ray import TestRay

from curator_slurm.common.checkpoint_files import read_finished
from curator_slurm.common.finished_work import COUNTED
from curator_slurm.executors.run import progress as reporter
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.report.make_report import report_of
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.publish import Publisher
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.takeover import take_over

pytestmark = pytest.mark.ray
FILES, ROWS = 9, 4
KILLS = int(os.environ.get("KILLS", "2"))
"""How often; more with `KILLS=10 pytest ...`, and other moments with MOMENTS."""
MOMENTS = os.environ.get("MOMENTS", "1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for file in range(FILES):
        rows = [json.dumps({"number": file * ROWS + row}) for row in range(ROWS)]
        (folder / f"{file:03}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


def finished(attempt: AttemptPaths) -> set[str]:
    return set().union(*(log.sources for log in read_finished(attempt.checkpoint)))


def figures(progress: Path) -> list[list[Any]]:
    """What each stage has counted."""
    names = ("name", *COUNTED, "tasks_failed", "items_failed", "kind")
    return [[stage[name] for name in names] for stage in json.loads(progress.read_text())["stages"]]


def planned(folder: Path, source: Path, backend: str) -> Run:
    """A run of this pipeline, whose outputs are staged: nothing in its spec is about a checkpoint."""
    spec = folder / "spec.yaml"
    arguments = {"source": str(source), "out": "${output_dir}", "seen": "${env:SEEN}", "died": str(folder / "died")}
    sections = {"name": "killed", "pipeline": {"entry": "killed_driver:pipeline", "args": arguments}}
    spec.write_text(json.dumps({**sections, "executor": {"backend": backend}}))
    run = new_run(folder / "runs")
    run.paths.plan.write_text(make_plan(spec, [], Cluster.LOCAL, {"HOME": str(folder)}).to_yaml())
    return run


@engines("ray_data", "ray_actor_pool")  # Xenna is drained and resumed in test_backends_draining.py
def test_killed_again_and_again(backend: str, two_cpus: TestRay, source: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    (tmp_path / "none-dies").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "clean.json"))
        patch.setattr(reporter, "_earlier", [])
        pipeline(str(source), str(clean), str(tmp_path / "clean-seen"), str(tmp_path / "none-dies")).run(TrackedLoop())
    expected = content(clean)
    assert len(expected) == FILES * ROWS * 2 // 3

    whole_run = planned(tmp_path, source, backend)
    run = whole_run.paths
    moments = random.Random(f"{backend} {MOMENTS}")
    known, kills = 0, KILLS if backend == "ray_actor_pool" or FULL else 1
    for kill in range(kills + 1):
        attempt = ClusterPaths(run.elements / f"{kill + 1}.0", run).attempt(0)
        taken = take_over(attempt, "the same")
        before = finished(attempt)
        assert taken.sources_before == len(before)
        wanted = min(known + moments.randint(1, len(expected) // 3), len(expected) - 1) if kill < kills else None
        seen = tmp_path / f"seen-{kill}"
        seen.touch()
        code = drive(two_cpus, attempt, {"SEEN": str(seen)}, kill_at=wanted)
        assert (code == 0) is (wanted is None)
        now = set(seen.read_text().split())
        assert not now & before, "sources that were finished were done again"
        known = len(content(attempt.outputs))
    assert before, "no partition was recorded before the driver was killed"
    assert len(now | before) == FILES
    assert content(attempt.outputs) == expected
    assert (tmp_path / "died").exists(), "no worker died"
    published = Publisher(run=run).publish(attempt, Shard(0, ()), started=1.0)
    assert published.ours
    assert content(run.outputs) == expected
    assert figures(attempt.progress) == figures(tmp_path / "clean.json"), "something was counted twice, or not at all"
    funnel = report_of(whole_run).funnel
    assert (funnel.shards, funnel.uncounted, funnel.files, funnel.rows) == (1, 0, len(expected), len(expected))
    of_keep = [each for each in funnel.documents if each.stage == "keep"]
    assert {each.kept for each in of_keep} == {True, False}
    assert all((int(dict(each.fields)["number"]) % 3 != 0) is each.kept for each in of_keep)
    assert funnel.stages[-1].items_in == len(expected) == sum(each.count(b"\n") for each in expected.values())
    assert not list(run.attempts.glob("*/*/work")) or all(path.is_file() for path in run.attempts.glob("*/*/work"))


def drive(cluster: TestRay, attempt: AttemptPaths, more: dict[str, str], kill_at: int | None = None) -> int:
    """Run the driver of an attempt, as the head does; kill it as soon as there are this many output files.

    Not before a partition is finished: killed earlier than that, an attempt leaves nothing to the next one.
    """
    environment = {**os.environ, **cluster.env, **more, "PYTHONPATH": str(Path(__file__).parent)}
    limits = {"documents": 3, "characters": 50, "fields": ["number"], "hidden": []}
    environment["CURATOR_SLURM_SAMPLES"] = json.dumps({"file": str(attempt.samples), **limits})
    environment |= {"CURATOR_SLURM_PROGRESS": str(attempt.progress), "CURATOR_SLURM_FAILURES": str(attempt.failures)}
    run = attempt.run
    command = [sys.executable, "-P", "-m", "curator_slurm.launcher.driver.driver", f"--run-dir={run.root}"]
    command += [f"--attempt-dir={attempt.root}", f"--plan={run.plan}"]
    with attempt.driver_log.open("a") as log:
        driver = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert driver.stdin is not None
        driver.stdin.write(f"go {cluster.env['RAY_ADDRESS']}\n".encode())
        driver.stdin.close()
        deadline = time.monotonic() + 300
        try:
            while driver.poll() is None and time.monotonic() < deadline:
                if kill_at is not None and len(content(attempt.outputs)) >= kill_at and finished(attempt):
                    break
                time.sleep(0.02)
        finally:
            driver.kill()
    code = driver.wait()
    if kill_at is None and code:
        print(attempt.driver_log.read_text()[-5000:])
    return code
