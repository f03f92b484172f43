"""The Python API on the real Slurm, as an ordinary user in a thread of an interpreter of hers."""

from __future__ import annotations

import json
import textwrap

from slurm_cluster import SlurmCluster

from on_slurm.runs import SMALL, WAIT_S, Runs

SESSION = """
import json, sys, threading
from curator_slurm import job, submit
from curator_slurm.launcher.errors import RunCancelledError, RunFailedError, WaitTimeoutError

spec, endless = json.loads(sys.argv[1]), ["sleep", "600"]
told = {}

def cell():
    good = submit(spec, overrides={"resources": {"nodes": 2}})
    bad = submit(spec, overrides={"name": "bad", "pipeline.command": "exit 3"})
    told["state"] = good.result().state
    told["outputs"] = sorted(path.name for path in good.outputs.glob("*.txt"))
    told["nodes"] = list(good.status().nodes)
    told["same"] = job("api").run_dir == job(good.job_id).run_dir == good.run_dir
    error = bad.exception()
    told["error"] = [type(error).__name__, error.failure_class, bool(error.evidence), bool(error.next_step)]
    told["retried"] = bad.retry(overrides={"resources.nodes": 2}).exception().failure_class, len(bad.job_ids)

    run = submit(spec, overrides={"name": "endless", "pipeline.command": endless})
    try:
        while run.state != "running":
            try:
                run.wait(1)
            except WaitTimeoutError:
                pass
        run.cancel()
        run.result()
    except RunCancelledError as error:
        told["cancelled"] = [error.failure_class, run.state]

thread = threading.Thread(target=cell)
thread.start()
thread.join()
print(json.dumps(told))
"""


def test_submit_wait_result_outputs_retry_and_cancel(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    spec = {
        "name": "api",
        "pipeline": {"command": "echo text > ${output_dir}/a.txt"},
        "resources": {**SMALL, "nodes": 1},
        "cluster": {"ray": False},
    }
    done = slurm_cluster.run(
        ["python", "-c", textwrap.dedent(SESSION), json.dumps(spec)],
        cwd=runs.folder,
        env={"CURATOR_SLURM_RUNS": str(runs.runs_dir)},
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "state": "completed",
        "outputs": ["a.txt"],
        "nodes": ["n1", "n2"],
        "same": True,
        "error": ["RunFailedError", "app_failed", True, True],
        "retried": ["app_failed", 2],
        "cancelled": ["cancelled", "cancelled"],
    }
    runs.assert_nothing_left()
