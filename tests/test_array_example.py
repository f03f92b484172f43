"""The worked example of sharded runs on this machine, without Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from array_example import check_dataset, copy_of_example

pytestmark = pytest.mark.ray


def test_the_example_without_slurm(tmp_path: Path) -> None:
    documents = copy_of_example(tmp_path)
    environment = {**os.environ, "CURATOR_SLURM_RUNS": str(tmp_path / "runs"), "HOME": str(tmp_path)}
    run = ["run", "spec.yaml", "--cluster", "local", "--set", "shards.count=2"]  # a driver for each takes its time
    for arguments in (run, ["collect", "array", "--wait"]):
        done = subprocess.run(
            [Path(sys.prefix) / "bin" / "curator-slurm", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    check_dataset(tmp_path / "out", documents, shards=2)
