"""Whole runs on several nodes, as an ordinary user: the same rows on every executor, and nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import SlurmCluster

from on_slurm.eavesdropper import command_lines_of_all
from on_slurm.odd_nodes import MEMORY, odd_nodes
from on_slurm.runs import SMALL, WAIT_S, Runs, accounting, program

EXAMPLES = Path(__file__).parents[2] / "examples"


def rows(outputs: Path) -> list[str]:
    """The documents that a quickstart run has written, in any order."""
    found = [line for path in outputs.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted(json.dumps(json.loads(line), sort_keys=True) for line in found)


@pytest.fixture(scope="module")
def expected(slurm_cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Runs], list[str]]:
    """Rows of the quickstart on one machine without Slurm, made when first asked for."""
    made: list[list[str]] = []

    def make(runs: Runs) -> list[str]:
        if not made:
            spec = str(EXAMPLES / "quickstart.yaml")
            done = runs.command("run", spec, "--cluster", "local", "--set", "executor.backend=ray_actor_pool")
            assert done.returncode == 0, done.output
            made.append(rows(runs.latest() / "outputs"))
        return made[0]

    return make


def test_one_spec_runs_on_one_machine_without_slurm(runs: Runs, expected: Callable[[Runs], list[str]]) -> None:
    assert len(expected(runs)) > 300
    assert runs.cluster.processes() == []
    assert runs.cluster.files() == []


@pytest.mark.parametrize(("backend", "nodes"), [("xenna", 3), ("ray_data", 2), ("ray_actor_pool", 2)])
def test_the_quickstart_on_several_nodes(
    runs: Runs, slurm_cluster: SlurmCluster, backend: str, nodes: int, expected: Callable[[Runs], list[str]]
) -> None:
    """With TLS, which must be nothing to the executors."""
    wanted = expected(runs)
    overrides = {
        "executor.backend": backend,
        "cluster.tls": "true",
        "resources": json.dumps({**SMALL, "nodes": nodes}),
        "pipeline.args.files_per_partition": "10",
    }
    options = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    done = runs.command("run", str(EXAMPLES / "quickstart.yaml"), *options)
    assert done.returncode == 0, done.output
    runs.assert_nothing_left()

    assert rows(runs.latest() / "outputs") == wanted
    states = [row.split("|")[1:] for row in accounting(slurm_cluster, runs.status()["job_id"])]
    assert states == [["COMPLETED", "0:0"]] * len(states)
    (line,) = [line for line in runs.read("attempts/*/*/driver.log").splitlines() if "quickstart completed" in line]
    names = ["n1", "n2", "n3"][:nodes]
    assert re.findall(r"\d+ on (n\d)", line) == names
    attempt = runs.element()
    assert sorted(path.parent.name for path in attempt.glob("nodes/*/ray.tar.zst")) == names
    assert sorted(path.parent.name for path in attempt.glob("nodes/*/agent.log")) == names
    assert not (runs.latest() / "secrets").exists()
    timeline = runs.command("status", "--timeline", "--json").json["phases"]
    for phase in ("agent", "ray_started", "joined", "ray_stopped", "logs_packed", "left"):
        assert {each["node"] for each in timeline if each["phase"] == phase} == set(names), phase
    reached = [each["phase"] for each in timeline]
    driver = ["driver_started", "connected", "first_batch", "driver_ended", "published"]
    assert [phase for phase in reached if phase in driver] == driver
    noted = [json.loads(line) for line in runs.read("elements/*/events.jsonl").splitlines()]
    told = [each["phases"] for each in noted if each["event"] == "node_phases"]
    assert sorted(node for phases in told for node in phases) == names


NOTHING_ASKED = "slurm: {export: never, mem: never, open_mode: never, no_requeue: never, no_kill: never}\n"
"""A site that refuses every option that a plain Slurm takes from us."""


def test_render_is_what_submit_submits(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """At a site where the submitting shell's variables come with the job: the script alone removes them."""
    site = runs.folder / ".curator-slurm.yaml"
    site.write_text(NOTHING_ASKED)
    site.chmod(0o644)
    hello = {"pipeline": {"command": ["env"]}, "cluster": {"ray": False}, "resources": {**SMALL, "nodes": 1}}
    spec = runs.write({"name": "hello", **hello})
    rendered = runs.command("render", str(spec)).stdout
    strays = {
        "STRAY": "1",
        "CDPATH": "/usr",
        "SHELLOPTS": "errexit:noglob:noclobber",
        "BASH_FUNC_cd%%": "() { false; }",
    }
    done = runs.command("run", str(spec), "--set", "resources.cpus_per_node=1", env=strays)
    assert done.returncode == 0, done.output
    assert not re.search("--(export|mem|open-mode|no-)", rendered.partition("\n\nset -u")[0])
    variables = runs.read("attempts/*/*/driver.log")
    assert "CURATOR_SLURM_RUN_DIR=" in variables
    assert not re.search(r"^(STRAY|CDPATH|SHELLOPTS|BASH_FUNC_cd)", variables, re.MULTILINE)
    changed = runs.command("render", str(spec), "--set", "resources.cpus_per_node=1").stdout
    assert (runs.latest() / "job.sbatch").read_text() == changed != rendered


def test_the_script_can_be_submitted_by_hand(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    gate = runs.folder / "gate"
    hello = "import ray.util.state; print('hello', ray.util.state.list_actors())"  # which cosmos-xenna asks for
    done = runs.run(program(f"os.path.exists({str(gate)!r}) or sys.exit(3)\n{hello}", nodes=1))
    assert done.returncode == 6, done.output
    gate.touch()
    run_dir = runs.latest()
    job = slurm_cluster.run(["sbatch", "--parsable", "job.sbatch"], cwd=run_dir, check=True).stdout.strip()
    slurm_cluster.wait_for_job(job, timeout=WAIT_S)
    attempt = run_dir / "attempts" / "00000" / f"{job}.0"
    assert json.loads((attempt / "outcome.json").read_text())["state"] == "completed"
    assert "hello []" in (attempt / "driver.log").read_text()
    runs.assert_nothing_left()


GPU_PROGRAM = """
import os, socket, time
from curator_slurm.executors import Pipeline, ProcessingStage, Resources, Task
from curator_slurm.executors import RayActorPoolExecutor, RayDataExecutor, XennaExecutor


class Make(ProcessingStage):
    name = "make"
    resources = Resources(cpus=0.5)

    def process(self, task):
        return [Task("d", number) for number in range(12)]


class OnGpu(ProcessingStage):
    # Every task waits until all four workers have been set up.
    name = "on_gpu"
    resources = Resources(cpus=0.5, gpus=1)

    def __init__(self, folder):
        self.folder = folder

    def setup(self, worker_metadata=None):
        name = f"{socket.gethostname()}_{os.environ['CUDA_VISIBLE_DEVICES']}"
        open(f"{self.folder}/{name}", "w").close()

    def process(self, task):
        deadline = time.monotonic() + 200
        while len(os.listdir(self.folder)) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        return task


import glob, ray
import numpy as np

ray.init(log_to_driver=False)
for node in ray.nodes():
    has = node["Resources"]
    print("node", node["NodeManagerAddress"], round((has["memory"] + has["object_store_memory"]) / 2**20), flush=True)
more_than_fits = [ray.put(np.zeros(5_000_000)) for _ in range(6)]
spilled = glob.glob(os.environ["CURATOR_SLURM_ELEMENT_DIR"] + "/nodes/n1/spill/*/*")
print("spilled to shared storage:", len(spilled) > 0, "TMPDIR", os.path.realpath(os.environ["TMPDIR"]), flush=True)
del more_than_fits
ray.shutdown()

for executor in XennaExecutor(), RayDataExecutor(), RayActorPoolExecutor():
    folder = os.path.join(os.environ["CURATOR_SLURM_OUTPUT_DIR"], type(executor).__name__)
    os.mkdir(folder)
    outputs = Pipeline("gpus", stages=[Make(), OnGpu(folder).with_(num_workers=4)]).run(executor)
    print(f"{type(executor).__name__}: {len(outputs)} tasks", flush=True)
"""


ODD_SITE = f"""
network: {{interface: [hsn*, "fd00:213::/64"]}}
storage: {{node_local: {{path: {MEMORY}, is_memory: true, size: 400M}}}}
"""
"""Nodes have the address of a second network, and no disk of their own."""


def test_a_stage_on_gpus_runs_on_each_gpu_of_each_node(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    """A program of the user's, with one executor after the other on the Ray of one job.

    On nodes whose own name is 127.0.1.1, without a gateway, with IPv6 between them, and whose local folder is memory.
    """
    (runs.folder / "gpu_program.py").write_text(GPU_PROGRAM)
    site = runs.folder / ".curator-slurm.yaml"
    site.write_text(ODD_SITE)
    site.chmod(0o644)
    spec = {
        "name": "gpus",
        "pipeline": {"command": ["python", "gpu_program.py"]},
        "cluster": {"object_store_fraction": 0.05},
        "resources": {**SMALL, "nodes": 2, "mem_per_node": "3000M", "gpus_per_node": 2},
    }
    addresses = {"n1": "fd00:213::11", "n2": "fd00:213::12"}
    with odd_nodes(slurm_cluster, addresses):
        done = runs.run(spec)
        runs.job_is_over()
        left = [slurm_cluster.run(["ls", MEMORY], node=node, check=True).stdout for node in addresses]
    log = runs.read("attempts/*/*/driver.log")
    assert done.returncode == 0, done.output + log
    assert left == ["", ""]
    for address in addresses.values():
        assert f"node {address} 2600\n" in log, "3000 MB, of which 400 are for files in memory"
    assert f"spilled to shared storage: True TMPDIR {MEMORY}/cs-" in log
    assert list(runs.latest().glob("elements/*/nodes/*/spill")) == []
    for executor in ("XennaExecutor", "RayDataExecutor", "RayActorPoolExecutor"):
        assert f"{executor}: 12 tasks" in log
        seen = sorted(path.name for path in (runs.latest() / "outputs" / executor).iterdir())
        assert seen == [f"n{node}_{gpu}" for node in (1, 2) for gpu in (0, 1)], executor


STAGES: dict[str, Any] = {
    "name": "stages",
    "pipeline": {
        "stages": [
            {
                "use": "curator_slurm.executors.stages:JsonlReader",
                "with": {"file_paths": "${input.files}", "files_per_partition": 1},
            },
            {"use": "curator_slurm.executors.stages:ParquetWriter", "with": {"path": "${output_dir}/parquet"}},
        ]
    },
    "executor": {"backend": "ray_actor_pool"},
    "resources": {**SMALL, "nodes": 1},
}


def test_stages_given_in_the_spec(runs: Runs) -> None:
    data = runs.folder / "in put's"
    data.mkdir()
    for number in range(3):
        (data / f"{number}.jsonl").write_text("".join(f'{{"text": "é{number} {line}"}}\n' for line in range(5)))
    done = runs.run({**STAGES, "input": {"paths": [str(data / "*.jsonl")]}})
    assert done.returncode == 0, done.output
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(runs.latest() / "outputs" / "parquet").to_table()
    assert sorted(table["text"].to_pylist()) == sorted(f"é{n} {line}" for n in range(3) for line in range(5))


def test_outputs_go_where_the_spec_says_secrets_reach_the_pipeline_and_nobody_else(
    runs: Runs, slurm_cluster: SlurmCluster, make_shared_dir: Callable[..., Path]
) -> None:
    """mallory reads every command line on every node for the whole life of the run, and asks Slurm about it."""
    target = make_shared_dir() / "published here"
    canary, secret = "canary-7f3a", "s3cr3t \"'$(id)"
    seen = make_shared_dir()
    command = f"""\
printf %s "${{env:HF_TOKEN}}$A" >"$CURATOR_SLURM_OUTPUT_DIR/x" # {canary}
until grep -qs command[.]sh {seen}/command-lines-*; do sleep 0.2; done
"""
    spec = {
        "name": "private",
        "pipeline": {"command": command},
        "environment": {"secrets": ["HF_TOKEN"], "env": {"A": canary}, "setup": [f"export B={canary}"]},
        "output": {"path": str(target)},
        "resources": {**SMALL, "nodes": 2},
    }
    with command_lines_of_all(slurm_cluster, seen) as lines:
        done = runs.run(spec, env={"HF_TOKEN": secret})
    assert done.returncode == 0, done.output
    assert (target / "x").read_text() == secret + canary

    text = "\n".join(lines)
    for part in ("srun", "node.sh", "node_agent", "command.sh", "raylet"):
        assert part in text, "the sampler has missed it"
    job = str(runs.status()["job_id"])
    for question in (
        ["scontrol", "show", "job", "-dd", job],
        ["scontrol", "write", "batch_script", job, "-"],
        ["squeue", "--states=all", "-o", "%all"],
        ["sacct", "-P", "-o", "ALL", "-j", job],
    ):
        answer = slurm_cluster.run(question, user=slurm_cluster.other_user)
        text += answer.stdout + answer.stderr
    assert f"JobId={job}" in text
    assert canary not in text
    assert "s3cr3t" not in text

    assert not (runs.latest() / "secrets").exists()
    runs.job_is_over()  # now all files have been written
    kept = "\n".join(path.read_text(errors="replace") for path in runs.latest().rglob("*") if path.is_file())
    assert "s3cr3t" not in kept
    plan = yaml.safe_load((runs.latest() / "plan.yaml").read_text())
    assert plan["spec"]["environment"]["secrets"] == ["HF_TOKEN"]


@pytest.fixture
def stale_token(slurm_cluster: SlurmCluster) -> Iterator[None]:
    """Ray's default place of a token, of another cluster, in the user's home directory."""
    folder = f"{slurm_cluster.home('alice')}/.ray"
    slurm_cluster.run(["sh", "-c", f"mkdir -p {folder} && echo stale > {folder}/auth_token"], check=True)
    yield
    slurm_cluster.run(["rm", "-r", folder], check=True)


@pytest.mark.usefixtures("stale_token")
def test_another_user_with_a_ray_of_their_own_can_neither_disturb_enter_nor_read(
    runs: Runs, slurm_cluster: SlurmCluster
) -> None:
    """mallory runs a Ray with all defaults on n1, and tries to run code in alice's and to read her files.

    Without TLS, which would leave her client waiting for a connection: it is the token that refuses her here. Then
    alice, whose run does not take the stale token in her home directory for its own, cancels it.
    """
    theirs = ["ray", "start", "--head", "--num-cpus=1", "--object-store-memory=100000000", "--include-dashboard=false"]
    slurm_cluster.run(theirs, user="mallory", node="n1", env={"RAY_AUTH_MODE": "disabled"}, timeout=WAIT_S, check=True)
    text = "print('nodes', len(ray.nodes()), flush=True); time.sleep(600)"
    run_id = runs.submit(program(text, nodes=2, cluster={"tls": False}))["run_id"]
    runs.wait_for_event("driver_started")
    address = json.loads((runs.element() / "cluster.json").read_text())["address"]
    attack = f"import ray; ray.init(address={address!r}); print('inside', ray.nodes())"
    tokens = ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64})

    def enter(env: dict[str, str]) -> tuple[int, str]:
        tried = slurm_cluster.run(["python", "-c", attack], user="mallory", node="n1", env=env, timeout=WAIT_S)
        return tried.returncode, tried.stdout

    with ThreadPoolExecutor() as pool:
        for code, output in pool.map(enter, tokens):
            assert code != 0
            assert "inside" not in output
    run_dir = runs.latest()
    assert run_dir.stat().st_mode & 0o777 == 0o700
    assert slurm_cluster.run(["ls", str(run_dir)], user="mallory").returncode != 0
    (token,) = (run_dir / "secrets").glob("ray-token*")
    assert token.stat().st_mode & 0o777 == 0o600
    assert "nodes 2" in runs.read("attempts/*/*/driver.log")

    done = runs.command("cancel", run_id)
    assert done.returncode == 0, done.output
    assert runs.watch(run_id).returncode == 8
    status = runs.status(run_id)
    assert (status["state"], status["failure_class"]) == ("cancelled", "cancelled")
    runs.assert_nothing_left()
    assert json.loads((runs.element() / "outcome.json").read_text())["state"] == "cancelled"
    assert {path.parent.name for path in run_dir.glob("elements/*/nodes/*/ray.tar.zst")} == {"n1", "n2"}
    assert not (run_dir / "secrets").exists()
    assert slurm_cluster.processes("mallory") != [], "our clean-up must not hit another user's Ray"
