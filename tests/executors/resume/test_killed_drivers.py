"""The driver killed by SIGKILL at random moments, and started again until it is done: on all back ends."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_driver import pipeline
from loop import TrackedLoop
from xenna_ray import TestRay

from curator_slurm.common.checkpoint_files import FOLDER, read_lines

pytestmark = pytest.mark.ray
FILES, ROWS, KILLS = 24, 5, 2
DRIVER = Path(__file__).with_name("killed_driver.py")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for file in range(FILES):
        rows = [json.dumps({"number": file * ROWS + row}) for row in range(ROWS)]
        (folder / f"{file:03}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


def finished(checkpoint: Path) -> set[str]:
    found: set[str] = set()
    for path in (checkpoint / FOLDER).glob("*"):
        found |= read_lines(path.read_bytes().splitlines())[1]
    return found


@pytest.mark.parametrize("backend", ["xenna", "ray_data", "ray_actor_pool"])
def test_killed_again_and_again(backend: str, two_cpus: TestRay, source: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.with_name("clean-died").touch()
    pipeline(source, clean).run(TrackedLoop())
    expected = content(clean)
    assert len(expected) == FILES * ROWS * 2 // 3

    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    moments = random.Random(f"{backend} 1")
    known = 0
    for _ in range(KILLS):
        wanted = min(known + moments.randint(1, len(expected) // 3), len(expected) - 1)
        assert drive(backend, two_cpus, source, out, checkpoint, kill_at=wanted) != 0
        known = len(content(out))
    before = finished(checkpoint)
    assert before, "no partition was recorded before the driver was killed"
    assert drive(backend, two_cpus, source, out, checkpoint) == 0
    assert content(out) == expected
    assert out.with_name("out-died").exists(), "no worker died"

    printed = (tmp_path / "driver.log").read_text()
    left = sum(1 for name in expected if name.split("_")[1] not in before)
    assert f"outputs {left}\n" in printed
    assert drive(backend, two_cpus, source, out, checkpoint) == 0
    assert (tmp_path / "driver.log").read_text().count("outputs 0\n") == 1
    assert content(out) == expected


def drive(backend: str, cluster: TestRay, source: Path, out: Path, checkpoint: Path, kill_at: int | None = None) -> int:
    """Run the driver; kill it as soon as there are this many output files."""
    environment = {**os.environ, **cluster.env, "PYTHONPATH": str(DRIVER.parent)}
    arguments = [sys.executable, str(DRIVER), backend, str(source), str(out), str(checkpoint)]
    with (checkpoint.with_name("driver.log")).open("a") as log:
        driver = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        try:
            while driver.poll() is None and time.monotonic() < deadline:
                if kill_at is not None and len(content(out)) >= kill_at:
                    break
                time.sleep(0.02)
        finally:
            driver.kill()
    code = driver.wait()
    if kill_at is None and code:
        print(checkpoint.with_name("driver.log").read_text()[-5000:])
    return code
