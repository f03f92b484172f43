"""Sharded runs for tests: run directories of any size and state, and a script that stands in for the elements."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shard_endings import fail as fail
from shard_endings import publish as publish

from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.operations.submit import Prepared, Submitted, submit
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs.registry import NewRun, Run, create_run
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.plan_shards import ShardPlan
from curator_slurm.launcher.spec.model import Spec

SCRIPT = """\
#!/bin/bash
#SBATCH --output=elements/slurm-%A_%a.log
#SBATCH --open-mode=append
exec env ORDERS={orders} {python} -I -S {stand_in} "$@"
"""
"""Does what an element does to the run directory, in no time."""


def plan(folder: Path, cluster: Cluster = Cluster.SLURM, **sections: Any) -> Plan:
    """A plan with these sections."""
    spec = {
        "name": "demo",
        "pipeline": {"command": "true"},
        "input": {"paths": ["/data/*.jsonl"]},
        "shards": {"files_per_shard": 1},
        "storage": {"runs": str(folder / "runs")},
        **sections,
    }
    return Plan(
        version="1", cluster=cluster, spec=Spec.model_validate(spec), spec_dir=str(folder), python=sys.executable
    )


def planned(index: int) -> Shard:
    """A shard with one input file."""
    return Shard(index, (InputFile(f"/data/{index}.jsonl", 1000),))


_texts: dict[str, str] = {}


def text_of(the_plan: Plan) -> str:
    """Its plan.yaml: written once for all plans that are equal, as some tests make the same run a hundred times."""
    key = the_plan.model_dump_json()
    if key not in _texts:
        _texts[key] = the_plan.to_yaml()
    return _texts[key]


def new_sharded(folder: Path, count: int, the_plan: Plan | None = None, script: str | None = None) -> NewRun:
    """What `submit` makes a sharded run of."""
    the_plan = the_plan or plan(folder)

    return NewRun(
        name="demo",
        cluster=the_plan.cluster.value,
        spec_path=str(folder / "spec.yaml"),
        spec_text="name: demo\n",
        plan_text=text_of(the_plan),
        plan_sha256="0" * 64,
        script=script or stand_in_script(),
        array=True,
        shards=[planned(index) for index in range(count)],
    )


def stand_in_script(what: Mapping[int, Any] | None = None) -> str:
    """The script; `what` are orders for the first time, see `orders`."""
    given = shlex.quote(json.dumps({str(shard): order for shard, order in (what or {}).items()}))
    stand_in = Path(__file__).with_name("stand_in_element.py")
    return SCRIPT.format(python=sys.executable, stand_in=stand_in, orders=given)


def submit_shards(
    folder: Path, count: int, the_plan: Plan | None = None, what: Mapping[int, Any] | None = None
) -> Submitted:
    """Submit a run of so many shards (or of one, where the plan has no `shards`) whose jobs obey `what`."""
    the_plan = the_plan or plan(folder)
    prepared = Prepared(
        plan=the_plan,
        plan_text=text_of(the_plan),
        script=stand_in_script(what),
        spec_path=str(folder / "spec.yaml"),
        spec_text="name: demo\n",
        folder=folder / "runs",
        shards=ShardPlan([planned(index) for index in range(count)]),
    )
    return submit(prepared, {"XDG_STATE_HOME": str(folder / "state"), "CURATOR_SLURM_RUNS": str(folder / "runs")})


def sharded_run(folder: Path, count: int, **more: Any) -> Run:
    """A sharded run that nothing has been submitted of."""
    return create_run(folder / "runs", new_sharded(folder, count, **more))


def failed_tasks(run: Run, shard: int, attempt: str, tasks: Iterable[Any]) -> None:
    """failures.jsonl of an attempt."""
    folder = run.paths.attempts / f"{shard:05d}" / attempt
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        append_jsonl(folder / "failures.jsonl", task)


def orders(run: Run, shards: Mapping[int, Any]) -> None:
    """What the stand-in elements shall do with shards: a failure class, "die", or a time to take."""
    write_json(run.paths.root / "orders.json", {str(shard): order for shard, order in shards.items()})


def lines(path: Path) -> Sequence[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
