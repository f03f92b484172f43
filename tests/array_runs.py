"""Sharded runs of real specs: planned and submitted as `submit` does it, and their outputs as one set of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from curator_slurm.launcher.paths import RunPaths
from curator_slurm.launcher.plan import Cluster, Plan
from curator_slurm.launcher.planning import make_plan
from curator_slurm.launcher.runs import NewRun
from curator_slurm.launcher.script import render
from curator_slurm.launcher.shards.manifest import write_manifest
from curator_slurm.launcher.shards.plan_shards import plan_shards


def new_run(spec: Path, cluster: Cluster, overrides: Sequence[str] = ()) -> tuple[Plan, NewRun]:
    """The plan of a spec, and the run that `submit` makes of it."""
    plan = make_plan(spec, list(overrides), cluster, {})
    shards = plan_shards(plan).shards

    def fill(paths: RunPaths) -> None:
        write_manifest(paths.manifest, shards)
        paths.elements.mkdir()

    new = NewRun(
        name=plan.spec.name,
        cluster=cluster.value,
        spec_path=str(spec),
        spec_text=spec.read_text(),
        plan_text=plan.to_yaml(),
        plan_sha256="0" * 64,
        script=render(plan),
        shards=len(shards),
        fill=fill,
    )
    return plan, new


def rows(run: RunPaths) -> list[str]:
    """All rows of all published JSONL files, sorted."""
    files = sorted(run.outputs.glob("shard-*/**/*.jsonl"))
    return sorted(json.dumps(json.loads(line), sort_keys=True) for file in files for line in file.open())
