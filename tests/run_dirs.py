"""Runs for tests: run directories in any state, and an agent that does what it is told in no time."""

from __future__ import annotations

import json
import os
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm

from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.registry import NewRun, Run, add_job_ids, create_run, run_comment
from curator_slurm.launcher.runs.shard_records import DoneRecord, Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

SCRIPT = '#!/bin/bash\nsleep "${1:-0}"\n'

STAGES: list[dict[str, Any]] = [
    {
        "name": "reader", "tasks_in": 4, "tasks_out": 12, "tasks_filtered": 0, "tasks_failed": 0, "items_out": 1200,
        "kind": "DocumentBatch", "queued": 0, "workers": 1, "expected": 4, "rate": 2.5, "eta_s": 0.0,
    },
    {
        "name": "quality filter", "tasks_in": 9, "tasks_out": 7, "tasks_filtered": 1, "tasks_failed": 1,
        "items_in": 1200, "items_out": 650, "kind": "DocumentBatch",
        "queued": 3, "workers": 2, "expected": 12, "rate": 1.5, "eta_s": 2.0,
    },
]  # fmt: skip


def new_run(folder: Path, name: str = "demo", cluster: str = "slurm", script: str = SCRIPT, **more: Any) -> Run:
    """A run directory as `submit` makes it, not submitted yet."""
    new = NewRun(
        name=name,
        cluster=cluster,
        spec_path="/home/me/spec.yaml",
        spec_text=f"name: {name}\n",
        plan_text="schema_version: 1\n",
        plan_sha256="0" * 64,
        script=script,
        **more,
    )
    return create_run(folder, new)


def submitted_run(folder: Path, job_id: str = "4711", **more: Any) -> Run:
    """A run with one submission."""
    local = {key: more.pop(key) for key in ("pid", "pid_started", "host") if key in more}
    run = new_run(folder, **more)
    return submit_again(run, job_id, **local)


def submit_again(run: Run, job_id: str, **more: Any) -> Run:
    """One more submission of a run."""
    number = len(list(run.paths.submissions.glob("[0-9]*")))
    now = time.time()
    record = SubmissionRecord(
        number=number,
        purpose=more.pop("purpose", "retry" if number else "submit"),
        prepared=now,
        submitted=now,
        comment=run_comment(run.run_id, number=number),
        elements=1,
        shards=1,
        job_id=job_id,
        **more,
    )
    write_submission(run.paths, record, [Element(0, (0,))], {})
    return add_job_ids(run, [job_id])


def renamed(run: Run, run_id: str) -> str:
    """Give a run another id, such as an older one."""
    value = json.loads(run.paths.record.read_text())
    write_json(run.paths.record, {**value, "run_id": run_id}, mode=0o600)
    run.paths.root.rename(run.paths.root.with_name(run_id))
    return run_id


def new_attempt(run: Run, job_id: str = "4711", restart: int = 0) -> AttemptPaths:
    """An attempt whose agent has started."""
    attempt = ClusterPaths(run.paths.element(job_id, restart), run.paths).attempt(0)
    attempt.root.mkdir(parents=True)
    attempt.cluster.nodes.mkdir(parents=True)
    event(attempt, "agent_started")
    attempt.cluster.heartbeat.touch()
    return attempt


def event(attempt: AttemptPaths, name: str, message: str = "") -> None:
    append_jsonl(attempt.cluster.events, {"time": time.time(), "event": name, "node": "n1", "message": message or name})


def outcome(
    attempt: AttemptPaths, state: str = "completed", *, agent_ended: bool = True, **more: Any
) -> dict[str, Any]:
    """What an attempt leaves; its element, too, if its agent has ended."""
    now = time.time()
    content = {
        "schema": 1, "state": state, "failure_class": None, "message": "", "evidence": [], "next_step": "",
        "exit_code": 0 if state == "completed" else 1, "started": now - 72, "ended": now, "nodes": ["n1", "n2"],
        "outputs": None, **more,
    }  # fmt: skip
    if state == "completed":
        record = DoneRecord(
            run_id=attempt.run.run_id, shard=0, attempt=attempt.name, started=now - 72, published=now,
            input_files=1, input_bytes=1,
        )  # fmt: skip
        write_json(attempt.run.done(0), record.to_json())
    write_json(attempt.outcome, content)
    if agent_ended:
        write_json(attempt.cluster.outcome, content)
    return content


def progress(attempt: AttemptPaths, state: str = "running", stages: list[dict[str, Any]] | None = None) -> None:
    now = time.time()
    content = {"schema": 1, "pipeline": "p", "backend": "xenna", "state": state, "started": now, "updated": now}
    store = {"used_bytes": 1_500_000, "peak_bytes": 2_000_000, "capacity_bytes": 7_000_000_000, "spilled_bytes": 0}
    totals = {"tasks_failed": 1}
    write_json(attempt.progress, content | {"stages": stages or STAGES, "totals": totals, "object_store": store})


def node_status(attempt: AttemptPaths, node: str, state: str, **more: Any) -> None:
    paths = attempt.cluster.node(node)
    paths.root.mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "node": node, "node_id": 0, "role": "worker", "state": state, "time": time.time()}
    write_json(paths.status, content | {"failure_class": None, "message": "", "next_step": "", **more})


AGENT = r'''
#!{python}
"""Takes the place of the Python on the nodes: a node agent that follows orders."""
import json, os, signal, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
if "node_agent" not in " ".join(sys.argv):
    sys.exit(0)
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
if int(os.environ.get("SLURM_NODEID", "0")) > 0:
    sys.exit(0)
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
import run_dirs
run = RunPaths(Path(options["--run-dir"]))
cluster = ClusterPaths(Path(options["--element-dir"]), run)
attempt = cluster.attempt(0)
attempt.root.mkdir(parents=True)
orders = json.loads({orders!r})
def stop(*_):
    run_dirs.outcome(attempt, "cancelled", failure_class="cancelled", message="stopped by SIGTERM", exit_code=143)
    os._exit(143)
if orders.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, stop)
cluster.nodes.mkdir(parents=True, exist_ok=True)
run_dirs.event(attempt, "agent_started")
(attempt.root / "environment.json").write_text(json.dumps(dict(os.environ)))
cluster.heartbeat.touch()
print("agent is here", flush=True)
if orders.get("die"):
    sys.exit(orders["die"])
run_dirs.event(attempt, "driver_started")
attempt.driver_log.write_text("driver line 1\ndriver line 2\n")
run_dirs.progress(attempt)
time.sleep(orders.get("sleep", 0))
run_dirs.progress(attempt, "completed")
state = orders.get("state", "completed")
if state == "completed":
    run.outputs.mkdir()
end = {{"outputs": str(run.outputs), **orders.get("outcome", {{}})}}
if orders.get("gate"):
    run_dirs.outcome(attempt, state, agent_ended=False, **end)
    while not os.path.exists(orders["gate"]):
        time.sleep(0.05)
run_dirs.outcome(attempt, state, **end)
sys.exit(0 if state == "completed" else 1)
'''


def fake_python(path: Path, **orders: Any) -> Path:
    """An interpreter for `environment.python` whose node agent obeys `orders` (sleep, state, die, stubborn...)."""
    import sys

    text = textwrap.dedent(AGENT).lstrip()
    path.write_text(text.format(python=sys.executable, tests=str(Path(__file__).parent), orders=json.dumps(orders)))
    path.chmod(0o755)
    return path


def keep_element(fake: FakeSlurm) -> None:
    """Let the fake srun know its job: our script removes the variables of the fake cluster, as all foreign ones."""
    real = fake.bin / "srun"
    kept = real.rename(fake.bin / "real-srun")
    task = "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
    element = 'FAKE_SLURM_ELEMENT="${FAKE_SLURM_ELEMENT:-${task:-$SLURM_JOB_ID}}"'
    real.write_text(f"#!/bin/sh\ntask={task}\nexec env FAKE_SLURM_STATE='{fake.folder}' {element} '{kept}' \"$@\"\n")
    real.chmod(0o755)


def write_spec(folder: Path, python: Path, **more: Any) -> Path:
    """A spec that runs with `fake_python`."""
    spec = {
        "name": "demo",
        "pipeline": {"command": "true"},
        "environment": {"python": str(python)},
        "storage": {"runs": str(folder / "runs")},
        "restart": {"mechanism": "off"},
        **more,
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def other_group() -> int:
    """A group that is not our first one, and to which we may give files."""
    if os.geteuid() == 0:
        return 4242
    mine = [group for group in os.getgroups() if group != os.getegid()]
    return mine[0] if mine else pytest.skip("this user has one group alone")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: no runs, no index of folders, no colours."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("XDG_STATE_HOME", "CURATOR_SLURM_RUNS"):
        monkeypatch.delenv(name, raising=False)
    assert os.environ["HOME"] == str(home)
    return home
