"""Whole runs inside a real image, made from Debian, which has Ray and nothing of curator-slurm (`make containers`)."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import image_folder
import pytest
from slurm_cluster import SlurmCluster

from curator_slurm.launcher.plan import script
from on_slurm.contained_runs import RUNTIMES, Before, make_ready_for_podman, run, where
from on_slurm.runs import SMALL, Runs
from on_slurm.staged_software import how

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("ready_for_podman")]

PROGRAM = f"""
import glob, json, os, socket, sys, time
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ray.init(log_to_driver=False)

@ray.remote(num_cpus=1)
def count(text):
    is_image = os.path.exists("/{image_folder.MARK}")
    return {{"text": text, "words": len(text.split())}}, socket.gethostname(), is_image

cache = os.path.expanduser("~/.cache/of-a-library")
os.makedirs(cache, exist_ok=True)
nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
texts = [json.loads(line)["text"] for path in sorted(glob.glob(sys.argv[1] + "/*.jsonl")) for line in open(path)]
found = ray.get([
    count.options(scheduling_strategy=NodeAffinitySchedulingStrategy(nodes[i % len(nodes)], soft=False)).remote(text)
    for i, text in enumerate(texts)
])
with open(os.path.join(sys.argv[2], "rows.jsonl"), "w") as out:
    out.writelines(json.dumps(row) + "\\n" for row, _, _ in found)
print("WHERE", json.dumps(sorted({{(host, is_image) for _, host, is_image in found}})), flush=True)
while os.path.exists(sys.argv[1] + "/wait"):
    time.sleep(0.2)
"""
PLAIN = (
    "import curator_slurm, json, sys, importlib.util as u; "
    "print('HAS', json.dumps([curator_slurm.__file__, [m for m in ('jinja2', 'click') if u.find_spec(m)]]))"
)


@pytest.fixture
def spec(runs: Runs) -> dict[str, Any]:
    """Texts, and a program that counts their words on every node."""
    folder = runs.folder / "in"
    folder.mkdir()
    for number in range(4):
        lines = [json.dumps({"text": f"text {number} {'word ' * line}"}) for line in range(30)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return {
        "name": "contained",
        "pipeline": {"command": ["python3", "-c", PROGRAM, str(folder), "${output_dir}"]},
        "input": {"paths": [str(folder / "*.jsonl")]},
        "resources": SMALL,
        "cluster": {"join_timeout_s": 200},
    }


@pytest.fixture
def rows(spec: dict[str, Any]) -> bytes:
    """What the outputs must be."""
    folder = Path(spec["pipeline"]["command"][3])
    texts = [
        json.loads(line)["text"] for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    return "".join(json.dumps({"text": text, "words": len(text.split())}) + "\n" for text in texts).encode()


def test_a_run_without_a_container_has_these_rows(runs: Runs, spec: dict[str, Any], rows: bytes) -> None:
    done = runs.run(spec)
    assert done.returncode == 0, done.output
    assert where(runs) == [["n1", False], ["n2", False], ["n3", False]]
    assert (runs.latest() / "outputs/rows.jsonl").read_bytes() == rows


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_run_in_the_image_has_the_same_on_all_nodes(
    runs: Runs, spec: dict[str, Any], rows: bytes, runtime: str
) -> None:
    before = Before(runs.cluster)
    done = run(runs, spec, runtime)
    assert done.returncode == 0, done.output
    assert where(runs) == [["n1", True], ["n2", True], ["n3", True]]
    assert (runs.latest() / "outputs/rows.jsonl").read_bytes() == rows
    assert f"{runtime} starts the container" in runs.read("slurm-*.log")
    runs.assert_nothing_left()
    before.assert_no_trace()


@pytest.mark.skipif(not image_folder.NEWER.is_dir(), reason=f"no image with Python 3.13: {image_folder.NO_NEWER}")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_python_of_the_image_may_be_newer_than_the_one_that_submits(
    runs: Runs, spec: dict[str, Any], rows: bytes, runtime: str
) -> None:
    """3.13 in /opt/venv, as in NVIDIA's images."""
    before = Before(runs.cluster)
    spec["environment"] = {"venv": image_folder.VENV}
    spec["pipeline"]["command"][2] += "print('PYTHON', sys.version_info[:2], sys.prefix, flush=True)\n"
    done = run(runs, spec, runtime, image=image_folder.NEWER)
    assert done.returncode == 0, done.output
    assert where(runs) == [["n1", True], ["n2", True], ["n3", True]]
    assert (runs.latest() / "outputs/rows.jsonl").read_bytes() == rows
    assert f"PYTHON (3, 13) {image_folder.VENV}" in runs.read("attempts/*/*/driver.log")
    runs.assert_nothing_left()
    before.assert_no_trace()


def test_groups_of_nodes_run_in_one_image(runs: Runs, spec: dict[str, Any], rows: bytes) -> None:
    whole = {"cpus_per_node": 4, "mem_per_node": SMALL["mem_per_node"]}
    groups = [{"name": "few", "nodes": 1, **whole}, {"name": "many", "nodes": 2, **whole}]
    spec["resources"] = {"time": SMALL["time"], "groups": groups}
    done = run(runs, spec, "charliecloud")
    assert done.returncode == 0, done.output
    assert where(runs) == [["n1", True], ["n2", True], ["n3", True]]
    assert (runs.latest() / "outputs/rows.jsonl").read_bytes() == rows
    runs.assert_nothing_left()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_is_left_after_scancel(
    runs: Runs, spec: dict[str, Any], runtime: str, slurm_cluster: SlurmCluster
) -> None:
    """The agents end in peace: podman itself is gone at once when Slurm signals all that runs on a node."""
    before = Before(slurm_cluster)
    run_id = submit_a_run_that_waits(runs, spec, runtime)
    slurm_cluster.run(["scancel", str(runs.status(run_id)["job_id"])], check=True)
    assert runs.watch(run_id).returncode != 0
    assert runs.status(run_id)["state"] == "cancelled"
    nodes = sorted((runs.element() / "nodes").iterdir())
    assert [(node.name, json.loads((node / "status.json").read_text())["state"]) for node in nodes] == [
        ("n1", "left"),
        ("n2", "left"),
        ("n3", "left"),
    ]
    assert all("raylet.out" in ray_logs(node) for node in nodes)
    runs.assert_nothing_left()
    before.assert_no_trace()


def ray_logs(node: Path) -> set[str]:
    """Names of Ray's log files that were collected from a node."""
    with tarfile.open(node / "ray.tar.gz") as archive:
        return {Path(name).name for name in archive.getnames()}


def submit_a_run_that_waits(runs: Runs, spec: dict[str, Any], runtime: str) -> str:
    (runs.folder / "in" / "wait").touch()
    done = run(runs, spec, runtime, "submit", "--json")
    assert done.returncode == 0, done.output
    runs.wait_for_event("driver_started")
    run_id: str = done.json["run_id"]
    return run_id


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_is_left_after_a_power_cut(
    runs: Runs, spec: dict[str, Any], rows: bytes, runtime: str, slurm_cluster: SlurmCluster
) -> None:
    """A worker, in the image, where there is no scancel, loses its head node and ends the job.

    When that node is back, with its disk as it was, the next run on it removes what it finds.
    """
    before = Before(slurm_cluster)
    spec["cluster"] = {**spec["cluster"], "min_nodes": 2, "heartbeat_timeout_s": 20}
    run_id = submit_a_run_that_waits(runs, spec, runtime)
    slurm_cluster.kill_node("n1")
    assert runs.watch(run_id).returncode == 6
    assert runs.status(run_id)["failure_class"] == "node_failed"
    before.assert_no_trace("n2", "n3")
    assert slurm_cluster.files(node="n1") != []

    (runs.folder / "in" / "wait").unlink()
    slurm_cluster.restore_node("n1")
    slurm_cluster.run(["scontrol", "update", "NodeName=n1", "State=RESUME"], user=None)
    slurm_cluster.wait_until_idle()
    make_ready_for_podman(slurm_cluster)
    before.boot("n1")
    done = run(runs, spec, runtime)
    assert done.returncode == 0, done.output
    assert where(runs) == [["n1", True], ["n2", True], ["n3", True]]
    runs.assert_nothing_left()
    before.assert_no_trace()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_is_left_after_a_time_limit(
    runs: Runs, spec: dict[str, Any], runtime: str, slurm_cluster: SlurmCluster
) -> None:
    """The agent has asked Slurm for its moment, by way of the batch script: the log has not said when."""
    before = Before(slurm_cluster)
    spec["resources"] = {**SMALL, "nodes": 1}
    run_id = submit_a_run_that_waits(runs, spec, runtime)
    job = runs.status(run_id)["job_id"]
    slurm_cluster.run(["scontrol", "update", f"JobId={job}", "EndTime=now+2"], check=True)
    assert runs.watch(run_id).returncode == 6
    assert runs.status(run_id)["failure_class"] == "time_limit"
    runs.assert_nothing_left()
    before.assert_no_trace()


def test_the_real_environment_modules_says_what_it_does_not_know() -> None:
    """It cannot be installed beside Lmod, so it is in the image."""
    functions = script._ours().get_template("_modules.j2").render()
    fails = 'node_fail() { echo "REFUSED $1"; exit 78; }; find_module_command; module load null && module load nosuch/1'
    command = ["ch-run", "--unset-env=MODULE*", str(image_folder.IMAGE), "--", "bash", "-c", f"{functions}\n{fails}"]
    environment = {"PATH": "/usr/bin:/bin", "USER": "root", "HOME": "/root"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ERROR: Unable to locate a modulefile for 'nosuch/1'" in done.stderr
    assert "REFUSED" not in done.stdout


def test_our_executors_run_in_an_image_that_has_what_they_need(runs: Runs, spec: dict[str, Any]) -> None:
    """And without it, what is missing is said by name."""
    folder = Path(spec["pipeline"]["command"][3])
    spec["pipeline"] = {
        "stages": [
            {"use": "curator_slurm.executors.stages:JsonlReader", "with": {"file_paths": str(folder)}},
            {"use": "curator_slurm.executors.stages:JsonlWriter", "with": {"path": "${output_dir}"}},
        ],
    }
    spec["executor"] = {"backend": "ray_data"}
    done = run(runs, spec, "charliecloud")
    assert done.returncode == 6, done.output
    assert "ray_data needs ray[data], and /usr/bin/python3 in the container has no module pyarrow, pandas, fsspec" in (
        " ".join(done.output.split())
    )
    spec["environment"] = {"env": {"PYTHONPATH": image_folder.MORE}}
    done = run(runs, spec, "charliecloud")
    assert done.returncode == 0, done.output
    texts = [path.read_text() for path in (runs.latest() / "outputs").glob("*.jsonl")]
    assert sum(len(text.splitlines()) for text in texts) == 4 * 30


MODELS = (
    "import curator_slurm, json, os; path = curator_slurm.staged_path(os.environ['ASKED'].lstrip('x') + '/weights'); "
    "there = [path, os.environ['MODELS'], open(path).read()]; "
    f"print('FOUND', json.dumps([*there, os.path.exists('/{image_folder.MARK}')]))"
)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_models_go_to_the_nodes_of_an_image(runs: Runs, runtime: str) -> None:
    """Packed outside, unpacked by the image's Python, and found there by the second run."""
    models = runs.folder / "models"
    models.mkdir()
    (models / "weights").write_text("1 2 3")
    staged = {"stage": "node_local", "stage_paths": [str(models)]}
    spec = {
        "name": "models",
        "pipeline": {"command": ["python3", "-c", MODELS]},
        "environment": {**staged, "env": {"MODELS": str(models), "ASKED": f"x{models}"}},
        "resources": {**SMALL, "nodes": 2},
        "cluster": {"ray": False},
    }
    for wanted in ("unpacked", "reused"):
        done = run(runs, spec, runtime)
        assert done.returncode == 0, done.output
        assert how(runs) == [wanted, wanted]
        (line,) = [line for line in runs.read("attempts/*/*/driver.log").splitlines() if line.startswith("FOUND ")]
        path, variable, text, is_image = json.loads(line.removeprefix("FOUND "))
        assert path == f"{variable}/weights"
        assert path.startswith("/tmp/cs-staged-")
        assert (text, is_image) == ("1 2 3", True)
    for node in ("n1", "n2"):
        runs.cluster.run(["bash", "-c", "rm -rf /tmp/cs-staged-*"], node=node)
