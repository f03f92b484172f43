"""The examples run: the quickstart in this process, the minimal one on a Ray of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ray_runs import new_mark, wait_for_no_marked
from stage_loop import LoopExecutor, rows, run

from curator_slurm.executors.stages import JsonlReader, ParquetReader

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import quickstart_pipeline

    files = quickstart_pipeline.standard_library()
    assert len(files) > 300
    assert not any("site-packages" in file for file in files)
    monkeypatch.setattr(quickstart_pipeline, "standard_library", lambda: files[:60] + files[:1])
    quickstart_pipeline.build(str(tmp_path), files_per_partition=20).run(LoopExecutor())
    statistics = json.loads((tmp_path / "statistics.json").read_text())
    assert statistics["documents_read"] == 60
    parquet = rows(run(ParquetReader(str(tmp_path / "parquet"))))
    assert len(parquet) == statistics["documents_kept"] > 10
    assert sorted(row["path"] for row in rows(run(JsonlReader(str(tmp_path / "jsonl"))))) == sorted(
        row["path"] for row in parquet
    )
    assert re.search(rf"documents kept +{len(parquet)}\n", capsys.readouterr().out)


@pytest.mark.ray
def test_minimal() -> None:
    """No process of the Ray that it starts outlives it."""
    mark = new_mark()
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", mark: "1"}
    environment.pop("RAY_ADDRESS", None)
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / "minimal.py")],
        capture_output=True, text=True, timeout=180, check=False, env=environment,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "Completed with 10 output tasks" in ended.stdout
    wait_for_no_marked(mark)
