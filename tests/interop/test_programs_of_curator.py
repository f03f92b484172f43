"""A program of NeMo Curator's runs as `pipeline.command`, unchanged: its client finds the Ray of the run.

NeMo Curator's tutorials for Slurm are such programs; they are not in its package, so the program here is ours.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("own_home"), pytest.mark.filterwarnings("ignore")]

from click.testing import CliRunner  # noqa: E402
from run_dirs import own_home, write_spec  # noqa: E402

from curator_slurm.launcher.cli import main  # noqa: E402

__all__ = ["own_home"]

PROGRAM = Path(__file__).with_name("curator_program.py")


def test_it_runs_unchanged_on_the_ray_of_the_run(tmp_path: Path) -> None:
    spec = write_spec(
        tmp_path,
        Path(sys.executable),
        pipeline={"command": ["python", str(PROGRAM), "${output_dir}"]},
        output={"path": str(tmp_path / "out")},
        cluster={"join_timeout_s": 300},
    )
    result = CliRunner().invoke(main, ["run", str(spec), "--cluster", "local"])
    assert result.exit_code == 0, result.output
    lines = json.loads((tmp_path / "out" / "lines.json").read_text())
    assert sorted(lines) == [f"{number} on {socket.gethostname()}" for number in range(6)]
