"""XennaExecutor on a real Ray, with whatever cosmos-xenna is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plain_loop import compare_random_pipelines
from xenna_ray import TestRay, python_path, start_ray
from xenna_stages import (
    DieInSetup,
    Environment,
    FailInSetup,
    FailOnNode,
    Hang,
    KeepEven,
    Kill,
    Lifecycle,
    Raise,
    Step,
    Twice,
    numbers,
)

from curator_slurm.executors import Pipeline, XennaExecutor
from curator_slurm.executors.failures import StageError, TooManyFailedTasksError

pytestmark = pytest.mark.ray
MODES = ["streaming", "batch"]
Run = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[TestRay]:
    with start_ray(cpus=2) as ray:
        yield ray


@pytest.fixture
def run(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run stages on numbers 0 to n-1, and check that the run leaves no process behind."""
    return runner(two_cpus, monkeypatch)


def runner(cluster: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)

    def run_stages(stages: list[Any], count: int = 20, **config: Any) -> list[Any]:
        try:
            return XennaExecutor(config).execute(stages, numbers(count))
        finally:
            assert not cluster.worker_pids()

    return run_stages


def values(tasks: list[Any]) -> list[int]:
    return sorted(task.data for task in tasks)


@pytest.mark.parametrize("mode", MODES)
def test_more_stages_than_cpus(run: Run, mode: str) -> None:
    outputs = run([Step("a"), Step("b"), Step("c")], 10, execution_mode=mode)
    assert values(outputs) == list(range(10))
    assert sorted(task.task_id for task in outputs) == sorted(f"0_{number}_0_0_0" for number in range(10))


@pytest.mark.parametrize("mode", MODES)
def test_batches_have_the_size_the_stage_asks_for(run: Run, mode: str) -> None:
    stages = [Step("a", 8), KeepEven("even", 5), Twice("twice", 3), Step("last", 7)]
    outputs = run(stages, 40, execution_mode=mode)
    assert values(outputs) == sorted([*range(0, 40, 2), *range(1000, 1040, 2)])
    sizes = Counter(task._metadata["batches"]["last"] for task in outputs)
    assert sizes == {7: 35, 5: 5}


def test_initial_task_of_an_empty_pipeline_input(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    outputs = Pipeline("empty", stages=[Step("only")]).run(XennaExecutor())
    assert outputs is not None
    assert [task.task_id for task in outputs] == ["0_0"]


@pytest.mark.parametrize("mode", MODES)
def test_a_failing_task_fails_the_pipeline_with_its_traceback(run: Run, mode: str) -> None:
    with pytest.raises(StageError) as caught:
        run([Step("a"), Raise("picky"), Step("c")], execution_mode=mode)
    message = str(caught.value)
    assert "picky" in message
    assert "0_7_0" in message
    assert "ValueError: seven is not allowed" in message
    assert "xenna_stages.py" in message


@pytest.mark.parametrize("mode", MODES)
def test_a_failing_task_is_skipped_alone_and_recorded(
    run: Run, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(tmp_path / "failures.jsonl"))
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    outputs = run([Step("a"), Raise("picky", 4), Step("c")], execution_mode=mode, on_task_error="skip")
    assert values(outputs) == [number for number in range(20) if number != 7]
    (record,) = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert (record["stage"], record["task_id"]) == ("picky", "0_7_0")
    assert "seven is not allowed" in record["traceback"]
    progress = json.loads((tmp_path / "progress.json").read_text())
    counts = [(stage["tasks_in"], stage["tasks_out"], stage["tasks_failed"]) for stage in progress["stages"]]
    assert counts == [(20, 20, 0), (20, 19, 1), (19, 19, 0)]
    assert progress["state"] == "completed"


def test_ignore_failures_of_one_stage(run: Run) -> None:
    lenient = Raise("picky").with_(xenna_stage_spec={"ignore_failures": True})
    assert len(run([lenient, Step("c")])) == 19


def test_a_limit_on_failed_tasks(run: Run) -> None:
    with pytest.raises(TooManyFailedTasksError, match="max_failed_tasks"):
        run([Raise("picky")], on_task_error="skip", max_failed_tasks=0)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (FailInSetup("bad"), "stage 'bad' failed in setup: RuntimeError: the model is missing"),
        (FailOnNode("bad"), "stage 'bad' failed in setup_on_node: RuntimeError: the disk is full"),
        (DieInSetup("bad"), "died 4 times in a row while starting"),
    ],
)
def test_failures_before_the_first_task(run: Run, stage: Step, words: str) -> None:
    with pytest.raises(Exception, match=words):
        run([Step("a"), stage], 4)


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_worker_loses_no_task(run: Run, mode: str, tmp_path: Path) -> None:
    outputs = run([Step("a"), Kill("kill", tmp_path / "flag"), Step("c")], execution_mode=mode)
    assert values(outputs) == list(range(20))
    assert (tmp_path / "flag").exists()


def test_a_task_that_kills_every_worker_is_set_aside(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(tmp_path / "failures.jsonl"))
    outputs = run([Step("a"), Kill("kill", None), Step("c")], on_task_error="skip")
    assert values(outputs) == [number for number in range(20) if number != 7]
    (record,) = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert (record["stage"], record["task_id"]) == ("kill", "0_7_0")


def test_a_task_that_kills_every_worker_fails_the_pipeline(run: Run) -> None:
    with pytest.raises(StageError, match=r"(?s)'kill' failed in process_batch of task 0_7.*worker died"):
        run([Kill("kill", None)])


def test_a_task_that_hangs_is_ended(run: Run) -> None:
    outputs = run([Hang("hang", 2), Step("c")], 10, on_task_error="skip", task_timeout_s=0.5)
    assert values(outputs) == [number for number in range(10) if number != 7]


def test_the_life_of_a_worker(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    stage = Lifecycle("life", journal).with_(num_workers=2)
    run([stage])
    lines = [line.split() for line in journal.read_text().splitlines()]
    assert [line[0] for line in lines].count("setup_on_node") == 1
    assert lines[0][0] == "setup_on_node"
    assert len(lines[0][2]) == 56  # a real node id
    setups = [line for line in lines if line[0] == "setup"]
    assert len({line[1] for line in setups}) == 2
    assert {line[1] for line in lines if line[0] == "teardown"} == {line[1] for line in setups}


def test_workers_are_limited(run: Run) -> None:
    few = run([Environment("env", cpus=0.25)], max_workers_per_stage=1)
    assert len({task._metadata["pid"] for task in few}) == 1


def test_a_runtime_environment_of_a_stage(run: Run) -> None:
    stage = Environment("env").with_(runtime_env={"env_vars": {"FLAVOUR": "vanilla"}})
    assert {task._metadata["env"].get("FLAVOUR") for task in run([stage], 2)} == {"vanilla"}


def test_the_drivers_environment_is_left_alone_and_no_time_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENNA_RAY_METRICS_PORT", "9999")
    before = dict(os.environ)
    began = time.monotonic()
    run([Step("a")], 2)
    assert time.monotonic() - began < 10  # the engine would sleep that long at the end
    assert dict(os.environ) == before


def test_the_engines_own_monitor_finds_the_dashboard_of_this_ray(run: Run) -> None:
    assert len(run([Step("a", cpus=0.5)], 4, resource_monitor=True)) == 4


def test_a_connection_of_the_caller_is_used_and_kept(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address=two_cpus.env["RAY_ADDRESS"], log_to_driver=False)
    try:
        assert len(XennaExecutor().execute([Step("a")], numbers(3))) == 3
        assert ray.is_initialized()
        assert not two_cpus.worker_pids()
    finally:
        ray.shutdown()


@pytest.mark.parametrize("cpus", [1, 0])
def test_tiny_clusters(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_ray(cpus=cpus) as cluster:
        outputs = runner(cluster, monkeypatch)([Step("a"), Step("b", cpus=4), Step("c")], 6)
    assert len(outputs) == 6


@pytest.mark.parametrize("noset", ["1", ""])
def test_logical_gpus_are_used_one_worker_each(noset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"CUDA_VISIBLE_DEVICES": "2,3", "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": noset}
    with start_ray(cpus=2, gpus=2, env=env) as cluster:
        outputs = runner(cluster, monkeypatch)([Environment("cpu"), Environment("gpu", gpus=1)], 12)
    seen = {(task._metadata["pid"], task._metadata["env"]["CUDA_VISIBLE_DEVICES"]) for task in outputs}
    assert {device for _, device in seen} == {"2", "3"}
    assert len(seen) == 2


def test_random_pipelines_do_what_a_plain_loop_does(two_cpus: TestRay) -> None:
    compare_random_pipelines("xenna", two_cpus.env, examples=5)
    assert not two_cpus.worker_pids()


def test_token_authentication(tmp_path: Path) -> None:
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "{folder}/token"}
    code = (
        "from xenna_stages import Step, numbers; from curator_slurm.executors import XennaExecutor\n"
        "print('outputs', len(XennaExecutor({'resource_monitor': True}).execute([Step('a')], numbers(5))))"
    )
    with start_ray(cpus=2, env=env) as cluster:
        # Ray reads its token once in a process, so this driver has one of its own.
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **cluster.env, "PYTHONPATH": python_path()},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert "outputs 5" in done.stdout, done.stderr
