"""Sharded runs that copy rows slowly, so that there is time to kill something: what they read, do and must write."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster.waiting import wait_for

from on_slurm.runs import Runs

PROGRAM = '''\
"""Copies files row by row: half of them under their final names, half under other ones that are changed at the end."""

import json
import sys
import time
from pathlib import Path

target, pause = Path(sys.argv[1]), float(sys.argv[2])
for number, source in enumerate(map(Path, sys.argv[3:])):
    final = target / source.name
    name = final if number % 2 else final.with_suffix(".part")
    with source.open() as rows, name.open("w", buffering=1) as copy:
        for line in rows:
            row = json.loads(line)
            copy.write(json.dumps({**row, "length": len(row["text"])}) + "\\n")
            time.sleep(pause)
    name.rename(final)
'''

STAGES = '''\
"""The same as stages on Ray."""

import os
import time

from curator_slurm.executors import Pipeline
from curator_slurm.executors.stages import JsonlReader, JsonlWriter, MapStage


def measure(row):
    assert os.environ["NEMO_CURATOR_SLURM_ARRAY_ENABLED"] == "0", "NeMo Curator would drop a part of the shard"
    time.sleep(0.02)
    return {**row, "length": len(row["text"])}


def build(files, output):
    stages = [JsonlReader(files, files_per_partition=1), MapStage(measure), JsonlWriter(output)]
    return Pipeline("copy", stages=stages)
'''

ROWS = 40


def make_input(folder: Path, files: int, seed: int = 0) -> None:
    """Files of rows that differ from each other, and the programs."""
    rng = random.Random(seed)
    (folder / "in").mkdir()
    for number in range(files):
        lines = [
            json.dumps({"file": number, "row": row, "text": "x" * rng.randrange(50) + f"{rng.random()}"})
            for row in range(ROWS)
        ]
        (folder / "in" / f"{number:04d}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "copying.py").write_text(PROGRAM)
    (folder / "copying_on_ray.py").write_text(STAGES)


def copying(name: str, files: str, shards: Mapping[str, Any], pause: float = 0.0, **resources: Any) -> dict[str, Any]:
    """A spec that copies the input files of a pattern without Ray."""
    return {
        "name": name,
        "pipeline": {"command": ["python", "copying.py", "${output_dir}", str(pause), "${shard.files}"]},
        "input": {"paths": [f"in/{files}"]},
        "shards": dict(shards),
        "cluster": {"ray": False, "join_timeout_s": 120},
        "resources": {"nodes": 1, "cpus_per_node": 1, "mem_per_node": "400M", "time": 20, **resources},
    }


def on_ray(spec: Mapping[str, Any], **resources: Any) -> dict[str, Any]:
    """The same, on Ray."""
    return {
        **spec,
        "pipeline": {"entry": "copying_on_ray:build", "args": {"files": "${shard.files}", "output": "${output_dir}"}},
        "executor": {"backend": "ray_actor_pool"},
        "cluster": {"join_timeout_s": 120},
        "resources": {**spec["resources"], "cpus_per_node": 2, "mem_per_node": "1800M", **resources},
    }


def rows_of(run: Path) -> dict[str, list[str]]:
    """What a sharded run has published: shard -> its rows, sorted."""
    return {
        shard.name: sorted(
            json.dumps(json.loads(line), sort_keys=True)
            for path in shard.rglob("*.jsonl")
            for line in path.read_text().splitlines()
        )
        for shard in sorted((run / "outputs").glob("shard-*"))
    }


def undisturbed(runs: Runs, spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """The rows of the same spec on one machine, where nobody disturbs it."""
    command = ["python", "copying.py", "${output_dir}", "0", "${shard.files}"]
    local = {
        **spec,
        "name": f"{spec['name']}-undisturbed",
        "pipeline": {"command": command},
        "cluster": {"ray": False},
        "resources": {},
    }
    local.pop("executor", None)
    done = runs.command("run", str(runs.write(local, "undisturbed.yaml")), "--cluster", "local")
    assert done.returncode == 0, done.output
    return rows_of(runs.latest())


def assert_once(run: Path, wanted: Mapping[str, list[str]]) -> None:
    """Every row of every shard is there once, and files, marker and done record of each shard agree."""
    found = rows_of(run)
    assert sorted(found) == sorted(wanted)
    for shard, rows in wanted.items():
        assert found[shard] == rows, f"{shard}: {len(found[shard])} rows in place of {len(rows)}"
        marker = json.loads((run / "outputs" / shard / "_shard.json").read_text())
        done = json.loads((run / "shards" / f"{shard.removeprefix('shard-')}.done.json").read_text())
        assert marker == done
        files = {str(path.relative_to(run / "outputs" / shard)) for path in (run / "outputs" / shard).rglob("*.jsonl")}
        assert files == {file["path"] for file in marker["files"]}


def retry_until_done(runs: Runs, run_ids: list[str], rounds: int = 8, seconds: float = 300) -> int:
    """`retry` when Slurm is done with what there is, until every shard is; how often that was needed."""
    for tries in range(rounds):
        wait_for("the queue to be empty", lambda: not queue(runs), seconds, "see squeue")
        left = {run_id: status for run_id in run_ids if (status := runs.status(run_id))["state"] != "completed"}
        if not left:
            return tries
        for run_id in left:
            done = runs.command("retry", run_id)
            assert done.returncode == 0, done.output
            assert "Nothing to submit" not in done.output, f"{done.output}\n{json.dumps(left[run_id], indent=1)}"
    pytest.fail(f"after {rounds} times `retry` there is something left: {left}")


def queue(runs: Runs) -> list[str]:
    """Jobs that Slurm has not ended; while its controller is away, a sign of that."""
    asked = runs.cluster.run(["squeue", "-h", "-r", "-o", "%i %T %r"], user=None)
    return asked.stdout.splitlines() if asked.returncode == 0 else [asked.stderr]
