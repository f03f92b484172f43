"""From submit to the dataset with the real script, agents and drivers, on the fake Slurm, without Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs import registry

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

COMMAND = """
if [[ ${shard.index} == 2 && ${FIXED:-no} == no ]]; then echo "no luck with this one"; exit 3; fi
for file in ${shard.files}; do cat "$file" >>${output_dir}/part.jsonl; done
"""


def call(*arguments: object, expect: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.mark.long
def test_an_array_with_a_retry_in_between(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_element(fake_slurm)
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.jsonl").write_text(json.dumps({"n": number}) + "\n")
    spec: dict[str, Any] = {
        "name": "demo",
        "pipeline": {"command": COMMAND.replace("${FIXED:-no}", "$FIXED")},
        "input": {"paths": [f"{data}/*.jsonl"]},
        "shards": {"files_per_shard": 1, "per_element": 2, "order": "name"},
        "cluster": {"ray": False},
        "environment": {"env": {"FIXED": "no"}},
        "output": {"path": str(tmp_path / "out"), "collect": "auto", "checksums": True},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    call("submit", tmp_path / "spec.yaml")
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id, timeout=120)
    first = json.loads(call("status", "demo", "--json", expect=7))
    assert first["shards"]["failed_by_class"] == {"app_failed": {"count": 1, "shards": "2"}}
    assert "no luck with this one" in call("logs", "demo", "--failed")
    assert not (tmp_path / "out").exists(), "the collect job publishes no incomplete run"

    call("retry", "demo", "--set", "environment.env.FIXED=yes")
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id, timeout=120)
    assert json.loads(call("status", "demo", "--json"))["state"] == "completed"
    summary = json.loads((tmp_path / "out" / "_dataset.json").read_text())
    assert (summary["complete"], summary["rows"], summary["files"]) == (True, 4, 4)
    rows = sorted(path.read_text() for path in (tmp_path / "out").glob("shard-*/part.jsonl"))
    assert [json.loads(row)["n"] for row in rows] == [0, 1, 2, 3]
    run = registry.load_run(registry.run_directories([tmp_path / "runs"])[0])
    assert len(list(run.paths.attempts.glob("00002/*_*"))) == 2
    assert len(list(run.paths.attempts.glob("00003/*_*"))) == 1, "what was done is not done again"
    assert "Published 4 of 4 shards" in call("collect", "demo")
