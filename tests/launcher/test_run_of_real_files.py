"""One run on this machine over files that are not all right, which a filter then drops altogether."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CASE = Path(__file__).parents[1] / "cases" / "nothing-kept"


@pytest.mark.ray
def test_what_was_left_out_and_that_nothing_was_kept_are_in_the_report(tmp_path: Path) -> None:
    shutil.copytree(CASE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "in" / "b.ndjson").write_text('{"id": "b-0", "text": "fine"}\n{"id": "b-1", "text": \n')
    (tmp_path / "in" / "notes.md").write_text("# Notes\n")
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    spec["pipeline"]["stages"][0]["with"]["file_paths"] = str(tmp_path / "in")
    spec["failures"] = {"on_task_error": "skip", "max_failed_tasks": 1}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    command = [Path(sys.executable).with_name("curator-slurm"), "run", "spec.yaml", "--cluster", "local"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path, env=environment
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    shown = " ".join(ended.stdout.split())
    assert f"Nothing was written to ${{output_dir}}: {tmp_path}/out is empty." in shown
    assert list((tmp_path / "out").iterdir()) == []
    assert "Failed 1 row, listed in" in shown
    assert "Note 1 of 3 files without the ending .jsonl or .json" in shown
    assert "notes.md" in shown
    (failures,) = tmp_path.glob("runs/all-dropped/*/attempts/00000/*/failures.jsonl")
    (line,) = map(json.loads, failures.read_text().splitlines())
    assert (line["file"], line["line"], line["rows"]) == (f"{tmp_path}/in/b.ndjson", 2, 1)
    (done,) = tmp_path.glob("runs/all-dropped/*/shards/00000.done.json")
    record = json.loads(done.read_text())
    assert (record["tasks_failed"], record["rows_failed"], record["files"]) == (0, 1, [])
