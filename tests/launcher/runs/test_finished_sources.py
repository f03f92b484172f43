"""How many source partitions are finished, from the log, or from what was said of it."""

from __future__ import annotations

import json
from pathlib import Path

from run_dirs import new_run

from curator_slurm.common.checkpoint_files import FOLDER
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.finished_sources import count_finished, finished_sources
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths


def test_by_the_log_else_by_what_the_attempt_said_else_by_what_was_taken_over(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs").paths

    def at(name: str) -> AttemptPaths:
        attempt = ClusterPaths(run.elements / name, run).attempt(0)
        attempt.root.mkdir(parents=True, exist_ok=True)
        return attempt

    assert finished_sources(run, 0, "1.0") == 0
    folder = at("1.0").checkpoint / FOLDER
    folder.mkdir(parents=True)
    for name, sources in (("a", ["1", "2"]), ("b", ["2", "3"])):
        lines = [{"schema": 1, "stages": ["s"]}, {"finished": sources}]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"finished": ["4')
    assert finished_sources(run, 0, "1.0") == count_finished(at("1.0")) == 3
    at("1.0").work.rename(at("2.0").work)
    at("2.0").state.mkdir()
    assert finished_sources(run, 0, "1.0") == 0
    write_json(at("2.0").takeover, {"schema": 1, "of": "1.0", "sources_before": 3})
    assert finished_sources(run, 0, "1.0") == finished_sources(run, 0, "2.0") == 3
    write_json(at("1.0").outcome, {"sources_finished": 2})
    assert finished_sources(run, 0, "1.0") == 2
    assert [attempt.name for attempt in run.existing_attempts()] == ["1.0", "2.0"]
