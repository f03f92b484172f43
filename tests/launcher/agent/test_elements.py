"""Whole elements with real agents and drivers, without Ray: arrays, deaths, signals, storage that is full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home, write_spec

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import run_directories

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "asked_often")

WAIT_S = 120
COPY = 'cat ${shard.files} >"${output_dir}/part.jsonl"'


def spec(folder: Path, command: str = COPY, count: int = 4, **more: Any) -> Path:
    """One row in each of so many files; a shard copies its own."""
    (folder / "in").mkdir()
    for shard in range(count):
        (folder / f"in/{shard}.jsonl").write_text(json.dumps({"row": shard}) + "\n")
    sections = {
        "pipeline": {"command": command},
        "cluster": {"ray": False},
        "input": {"paths": [str(folder / "in/*.jsonl")]},
        "shards": {"count": count, "per_element": 2, "order": "name"},
    }
    return write_spec(folder, Path(sys.executable), **{**sections, **more})


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def the_run(folder: Path) -> RunPaths:
    (directory,) = run_directories([folder / "runs"])
    return RunPaths(directory)


def rows(run: RunPaths) -> list[int]:
    files = run.outputs.glob("shard-*/part.jsonl")
    return sorted(json.loads(line)["row"] for path in files for line in path.read_text().splitlines())


def wait_for(what: str, condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def processes(run: RunPaths, module: str) -> list[psutil.Process]:
    """Processes of the run that run this module of ours."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if f"curator_slurm.launcher.{module}" in line and str(run.root) in line and process.name() != "bash":
            found.append(process)
    return found


def test_an_array_of_two_elements(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    result = call("run", spec(tmp_path), "--cluster", "slurm")
    assert result.exit_code == 0, result.output
    run = the_run(tmp_path)
    assert rows(run) == [0, 1, 2, 3]
    elements = sorted(path for path in run.elements.iterdir() if path.is_dir())
    assert [path.name.partition("_")[2] for path in elements] == ["0.0", "1.0"]
    for number, element in enumerate(elements):
        slurm_log = (element / "slurm.log").resolve()
        # The run is over with its last shard; the element may still be at its own end.
        wait_for("the element's outcome", lambda path=element / "outcome.json": read_json(path))
        wait_for("its last words", lambda path=slurm_log: "shards are done" in path.read_text())
        outcome = read_json(element / "outcome.json")
        assert outcome is not None
        assert outcome["shards_done"] == [2 * number, 2 * number + 1]
        shown = call("status", run.run_id, "--timeline", "--shard", 2 * number, "--json")
        assert shown.exit_code == 0, shown.output
        view = json.loads(shown.output)
        assert view["element"] == element.name
        reached = [each["phase"] for each in view["phases"]]
        assert set(reached[:4]) == {"script", "srun", "shell", "agent"}
        assert {"preflight", "joined", "cluster_ready", "driver_started", "published", "left"} <= set(reached)
        assert {each["shard"] for each in view["phases"]} == {None, 2 * number}
        events = [json.loads(line) for line in (element / "events.jsonl").read_text().splitlines()]
        (phases,) = next(each["phases"] for each in events if each["event"] == "node_phases").values()
        assert phases == {
            each["phase"]: each["time"]
            for each in view["phases"]
            if each["node"] or each["phase"] in ("script", "srun")
        }


@pytest.mark.long
def test_a_shard_knows_itself_and_the_whole_input(tmp_path: Path) -> None:
    command = "rows=$(cat ${input.files} | wc -l); "
    command += 'printf "%s %s %s %s\\n" ${shard.index} "$CURATOR_SLURM_SHARD" "$(cat ${shard.files})" "$rows"'
    path = spec(tmp_path, f'{command} >"${{output_dir}}/said.txt"', count=2)
    result = call("run", path, "--cluster", "local")
    assert result.exit_code == 0, result.output
    run = the_run(tmp_path)
    said = [(run.shard_outputs(shard) / "said.txt").read_text() for shard in range(2)]
    assert said == ['0 0 {"row": 0} 2\n', '1 1 {"row": 1} 2\n']


@pytest.mark.long
def test_a_job_that_slurm_starts_twice(tmp_path: Path) -> None:
    """Two jobs with one id at the same shards at the same time: the first one gives way, and each row is there once."""
    both = """until grep -qs '[.]1"' "$CURATOR_SLURM_RUN_DIR"/attempts/*/epoch; do sleep 0.1; done"""
    assert call("submit", spec(tmp_path, f"{COPY}; {both}; sleep 0.5"), "--cluster", "local").exit_code == 0
    run = the_run(tmp_path)
    wait_for("the first one", lambda: list(run.elements.glob("*/events.jsonl")))
    (first,) = run.elements.iterdir()
    job = first.name.rpartition(".")[0]
    environment = {**os.environ, "CURATOR_SLURM_JOB_ID": job}
    twin = subprocess.run(["bash", "job.sbatch", "0000"], cwd=run.root, env=environment, timeout=WAIT_S, check=False)
    assert twin.returncode == 0
    wait_for("the first one's end", lambda: (first / "exit-code").exists())
    assert sorted(path.name for path in run.elements.iterdir()) == [f"{job}.0", f"{job}.1"]
    gave_way, went_on = (json.loads((run.elements / f"{job}.{each}" / "outcome.json").read_text()) for each in (0, 1))
    assert (went_on["state"], went_on["shards_done"]) == ("completed", [0, 1, 2, 3])
    assert gave_way["failure_class"] == "superseded"
    assert gave_way["shards_done"] in ([], [0]), "shard 0 may be there by now, from the other one"
    assert rows(run) == [0, 1, 2, 3]
    assert not list(run.attempts.glob("*/*/work"))
    wait_for("the end of all processes", lambda: not processes(run, ""))


@pytest.mark.long
def test_requeued_elements_go_on_where_they_were(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    fake_slurm.configure(requeue_delay_s=0.0)
    gate = tmp_path / "gate"
    command = f'{COPY}; [[ $CURATOR_SLURM_SHARD != 1 ]] || until [[ -e "{gate}" ]]; do sleep 0.1; done'
    assert call("submit", spec(tmp_path, command, count=2), "--cluster", "slurm").exit_code == 0
    run = the_run(tmp_path)
    wait_for("the second shard", lambda: list(run.attempts.glob("00001/*/work/outputs/part.jsonl")))
    (element,) = (path for path in run.elements.iterdir() if path.is_dir())
    job = element.name.partition("_")[0]
    gate.touch()
    fake_slurm.request(int(job), "requeue")
    wait_for("the restart", lambda: (run.elements / f"{job}_0.1/outcome.json").exists() or run.done(1).exists())
    fake_slurm.wait(f"{job}_0")
    assert rows(run) == [0, 1]
    assert not (run.attempts / "00000" / f"{job}_0.1").exists()


@pytest.mark.long
@pytest.mark.parametrize("victim", ["agent.node_agent", "driver"])
def test_a_killed_process_loses_nothing(tmp_path: Path, victim: str) -> None:
    gate = tmp_path / "gate"
    command = f'{COPY}; [[ $CURATOR_SLURM_SHARD != 1 ]] || until [[ -e "{gate}" ]]; do sleep 0.1; done'
    if victim == "driver":
        kept = '"$CURATOR_SLURM_STATE_DIR/here"'  # what it leaves for the next attempt
        dies = f"[[ $CURATOR_SLURM_SHARD != 1 || -e {kept} ]] || {{ touch {kept}; kill -9 $$; }}"
        command = f"{dies}; [[ $CURATOR_SLURM_RESTART_COUNT = 0 || -e {kept} ]] && {COPY}"
    assert call("submit", spec(tmp_path, command, count=3), "--cluster", "local").exit_code == 0
    run = the_run(tmp_path)
    if victim == "agent.node_agent":
        wait_for("the second shard", lambda: list(run.attempts.glob("00001/*/work/outputs/part.jsonl")))
        for process in processes(run, victim):
            process.kill()
    assert call("watch", run.run_id, "--interval", 0.2).exit_code in (6, 7)
    assert rows(run) == ([0] if victim == "agent.node_agent" else [0, 2])
    gate.touch()
    assert call("retry", run.run_id).exit_code == 0
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == 0, result.output
    assert rows(run) == [0, 1, 2]
    assert not list(run.attempts.glob("*/*/work"))
    wait_for("the end of all processes", lambda: not processes(run, ""))


@pytest.mark.long
def test_a_node_that_is_lost_between_shards(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """The shard that runs goes on, but no other is begun with fewer nodes than `min_nodes`."""
    keep_element(fake_slurm)
    gate = tmp_path / "gate"
    command = f'{COPY}; [[ $CURATOR_SLURM_SHARD != 0 ]] || until [[ -e "{gate}" ]]; do sleep 0.1; done'
    path = spec(tmp_path, command, count=2, resources={"nodes": 2})
    assert call("submit", path, "--cluster", "slurm").exit_code == 0
    run = the_run(tmp_path)
    wait_for("the first shard", lambda: list(run.attempts.glob("00000/*/work/outputs/part.jsonl")))
    agents = processes(run, "agent.node_agent")
    (victim,) = (process for process in agents if process.environ().get("SLURM_NODEID") == "1")
    victim.kill()
    wait_for("its shell to tell", lambda: '"failed"' in next(run.elements.glob("*/nodes/n2/status.json")).read_text())
    gate.touch()
    assert call("watch", run.run_id, "--interval", 0.2).exit_code == 7
    assert rows(run) == [0]
    (element,) = (path for path in run.elements.iterdir() if path.is_dir())
    outcome = read_json(element / "outcome.json")
    assert outcome is not None
    assert (outcome["failure_class"], outcome["shards_done"]) == ("node_failed", [0])
    assert "only 1 of 2 nodes is left, and 2 are needed" in outcome["message"]
    assert "lost: n2" in outcome["message"]
    assert not (run.attempts / "00001").exists()
    assert call("retry", run.run_id, "--class", "node_failed").exit_code == 0
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == 0, result.output
    assert rows(run) == [0, 1]


@pytest.mark.long
def test_a_first_driver_that_dies_while_the_cluster_boots(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """Its shard has failed; the element goes on with the others."""
    keep_element(fake_slurm)
    gate = tmp_path / "gate"
    late = f'[[ $SLURM_NODEID != 1 ]] || until [[ -e "{gate}" ]]; do sleep 0.1; done'
    environment = {"python": sys.executable, "setup": [late]}
    path = spec(tmp_path, count=2, resources={"nodes": 2}, environment=environment)
    assert call("submit", path, "--cluster", "slurm").exit_code == 0
    run = the_run(tmp_path)
    wait_for("the first driver", lambda: processes(run, "driver"))
    for process in processes(run, "driver"):
        process.kill()
    gate.touch()
    assert call("watch", run.run_id, "--interval", 0.2).exit_code == 7
    assert rows(run) == [1]
    (element,) = (path for path in run.elements.iterdir() if path.is_dir())
    outcome = read_json(element / "outcome.json")
    assert outcome is not None
    assert (outcome["failure_class"], outcome["shards_done"], outcome["shards_failed"]) == ("app_failed", [1], [0])
    own = read_json(run.attempts / "00000" / element.name / "outcome.json")
    assert own is not None
    assert "killed by SIGKILL" in own["message"]
    assert call("retry", run.run_id).exit_code == 0
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == 0, result.output
    assert rows(run) == [0, 1]


@pytest.mark.long
def test_a_signal_ends_the_element(tmp_path: Path) -> None:
    command = f"{COPY}; [[ $CURATOR_SLURM_SHARD != 1 ]] || sleep 600"
    assert call("submit", spec(tmp_path, command, count=3), "--cluster", "local").exit_code == 0
    run = the_run(tmp_path)
    wait_for("the second shard", lambda: list(run.attempts.glob("00001/*/work/outputs/part.jsonl")))
    for process in processes(run, "agent.node_agent"):
        process.send_signal(signal.SIGTERM)
    wait_for("the outcome", lambda: list(run.elements.glob("*/outcome.json")))
    (element,) = run.elements.iterdir()
    outcome = read_json(element / "outcome.json")
    assert outcome is not None
    assert (outcome["state"], outcome["shards_done"], outcome["shards_failed"]) == ("cancelled", [0], [1])
    own = read_json(run.attempts / "00001" / element.name / "outcome.json")
    assert own is not None
    assert own["failure_class"] == "cancelled"
    assert not (run.attempts / "00002").exists()
    assert not list(run.attempts.glob("*/*/work"))
    wait_for("the end", lambda: not processes(run, "agent.node_agent"))


@pytest.fixture
def small_storage(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.long
def test_a_disk_that_is_full(tmp_path: Path, small_storage: Path) -> None:
    """The shard that fills it fails as storage; once there is room, retry does the rest."""
    ballast = small_storage / "ballast"
    ballast.write_bytes(b"\0" * (2 << 20))
    command = f'{COPY}; [[ $CURATOR_SLURM_SHARD != 1 ]] || head -c 3M /dev/zero >"${{output_dir}}/big.bin"'
    path = spec(tmp_path, command, count=3, storage={"runs": str(small_storage / "runs")})
    assert call("submit", path, "--cluster", "local").exit_code == 0
    run = the_run(small_storage)
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == 7, result.output
    assert rows(run) == [0, 2]
    (attempt,) = run.attempts.glob("00001/*.*")
    outcome = read_json(attempt / "outcome.json")
    assert outcome is not None
    assert (outcome["failure_class"], "make room" in outcome["next_step"]) == ("storage", True)
    assert "No space left on device" in (attempt / "driver.log").read_text()
    ballast.unlink()
    assert call("retry", run.run_id).exit_code == 0
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == 0, result.output
    assert rows(run) == [0, 1, 2]
    assert os.path.getsize(run.shard_outputs(1) / "big.bin") == 3 << 20  # noqa: PTH202
