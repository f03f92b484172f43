"""All back ends on a real Ray: one meaning, whatever happens to tasks and workers."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import EACH, WITH_BATCH, engines, in_full
from plain_loop import compare_random_pipelines
from ray_runs import MARKS, Run, make, runner, values, wait_for_no_workers
from xenna_ray import TestRay, start_ray
from xenna_stages import (
    DieInSetup,
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

from curator_slurm.executors import Resources
from curator_slurm.executors.task_failures import StageError, TooManyFailedTasksError, WorkerLostError

pytestmark = MARKS


@pytest.fixture
def run(backend: str, two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(backend, two_cpus, monkeypatch)


@engines(*EACH, of=WITH_BATCH)
def test_more_stages_than_cpus_get_batches_of_the_size_they_ask_for(run: Run) -> None:
    outputs = run([Step("a", 8), KeepEven("even", 5), Twice("twice", 3), Step("last", 7)], 40)
    assert values(outputs) == sorted([*range(0, 40, 2), *range(1000, 1040, 2)])
    assert Counter(task._metadata["batches"]["last"] for task in outputs) == {7: 35, 5: 5}
    assert len({task.task_id for task in outputs}) == 40
    assert all([perf.stage_name for perf in task._stage_perf] == ["a", "even", "twice", "last"] for task in outputs)


@engines("ray_data")
def test_everything_may_be_filtered(run: Run) -> None:
    assert run([Nothing("nothing", 3), Step("b", 4), Step("c")], 7) == []


class Nothing(Step):
    def process(self, task: Any) -> Any:
        return None


@engines("xenna-batch", of=WITH_BATCH)
def test_a_failing_task_fails_the_pipeline_with_its_traceback(run: Run) -> None:
    with pytest.raises(StageError) as caught:
        run([Raise("picky")])
    message = str(caught.value)
    assert "picky" in message
    assert "ValueError: seven is not allowed" in message
    assert "xenna_stages.py" in message
    assert type(caught.value) is StageError


@engines("ray_data", of=WITH_BATCH)
def test_a_failing_task_is_skipped_alone_and_recorded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(tmp_path / "failures.jsonl"))
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    outputs = run([Step("a"), Raise("picky", 4), Step("c")], on_task_error="skip")
    assert values(outputs) == [number for number in range(20) if number != 7]
    (record,) = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert (record["stage"], record["task_id"]) == ("picky", "0_7_0")
    assert "seven is not allowed" in record["traceback"]
    progress = json.loads((tmp_path / "progress.json").read_text())
    counts = [(stage["tasks_in"], stage["tasks_out"], stage["tasks_failed"]) for stage in progress["stages"]]
    assert counts == [(20, 20, 0), (20, 19, 1), (19, 19, 0)]
    assert progress["state"] == "completed"


@engines("ray_actor_pool")
def test_a_limit_on_failed_tasks(run: Run) -> None:
    with pytest.raises(TooManyFailedTasksError, match="max_failed_tasks"):
        run([Raise("picky")], on_task_error="skip", max_failed_tasks=0)


@engines("ray_data")
@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (FailInSetup("bad"), "stage 'bad' failed in setup: RuntimeError: the model is missing"),
        (FailOnNode("bad"), "stage 'bad' failed in setup_on_node: RuntimeError: the disk is full"),
    ],
)
def test_failures_before_the_first_task(run: Run, stage: Step, words: str) -> None:
    with pytest.raises(StageError, match=words):
        run([stage], 4)


@engines("xenna")
def test_the_third_worker_in_a_row_that_dies_at_start_up_ends_the_run(run: Run) -> None:
    with pytest.raises(WorkerLostError, match="workers of stage 'bad' died 3 times in a row while starting"):
        run([DieInSetup("bad")], 4)


@engines("xenna")
def test_a_task_that_kills_every_worker_is_set_aside(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(tmp_path / "failures.jsonl"))
    outputs = run([Kill("kill", None), Step("next")], on_task_error="skip")
    assert values(outputs) == [number for number in range(20) if number != 7]
    (record,) = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert (record["stage"], record["task_id"]) == ("kill", "0_7")


@engines("ray_actor_pool")
def test_a_task_that_kills_every_worker_fails_the_pipeline(run: Run) -> None:
    with pytest.raises(StageError, match=r"'kill' failed in process_batch of task 0_7: .* died 3 times at this task"):
        run([Kill("kill", None, batch_size=1)])


class Sums(Step):
    """Adds up each batch; one number kills every worker."""

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        if any(task.data == 1601 for task in tasks):
            os.kill(os.getpid(), signal.SIGKILL)
        tasks[0].data = sum(task.data for task in tasks)
        return tasks[:1]


@engines("ray_data")
def test_batches_beside_a_deadly_one_are_not_divided(run: Run) -> None:
    outputs = run([Sums("sums", 4)], 2400, on_task_error="skip")  # tiny batches share calls by then
    whole = [sum(range(start, start + 4)) for start in range(0, 2400, 4) if start != 1600]
    assert values(outputs) == sorted([*whole, 1600, 1602, 1603])


class HangInC(Step):
    """Nothing in Python can interrupt it at one number; writes down every try."""

    def __init__(self, name: str, journal: Path) -> None:
        super().__init__(name)
        self.journal = journal

    def process(self, task: Any) -> Any:
        if task.data == 7:
            with self.journal.open("a") as file:
                file.write("7\n")
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # it would end the sleep
            ctypes.PyDLL(None).sleep(3600)
        return task


@engines("xenna")
def test_a_hang_that_ignores_its_interruption_counts_as_the_death_of_a_worker(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    outputs = run([HangInC("hang", journal)], 8, on_task_error="skip", task_timeout_s=2.0)
    assert values(outputs) == [number for number in range(8) if number != 7]
    assert 3 <= len(journal.read_text().split()) <= 5  # more than three where it was not alone at first


@engines("ray_data", "ray_actor_pool")
def test_a_task_that_hangs_is_ended(run: Run) -> None:
    outputs = run([Hang("hang", 2), Step("c")], 10, on_task_error="skip", task_timeout_s=2.0)
    assert values(outputs) == [number for number in range(10) if number != 7]


@engines("ray_actor_pool")
def test_a_connection_of_the_caller_is_used_and_kept(
    backend: str, two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address=two_cpus.env["RAY_ADDRESS"], log_to_driver=False)
    try:
        assert len(make(backend).execute([Step("a")], numbers(3))) == 3
        assert ray.is_initialized()
        wait_for_no_workers(two_cpus)
    finally:
        ray.shutdown()


@engines("ray_data", "ray_actor_pool")
def test_a_tiny_cluster(backend: str, one_cpu: TestRay, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = runner(backend, one_cpu, monkeypatch)([Step("a"), Step("b", cpus=4), Step("c")], 6)
    assert len(outputs) == 6


def test_many_stages_on_one_cpu(one_cpu: TestRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Xenna asks for a worker of each at the same time."""
    outputs = runner("xenna", one_cpu, monkeypatch)([Step(name) for name in "abcdef"], 6)
    assert values(outputs) == list(range(6))


@pytest.fixture(scope="module", params=in_full(["1", ""], "1"), ids=lambda value: "noset" if value else "set")
def two_gpus(request: pytest.FixtureRequest) -> Iterator[TestRay]:
    """Without Ray's permission to set the variable, as the launcher starts it, and with it."""
    env = {"CUDA_VISIBLE_DEVICES": "2,3", "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": request.param}
    with start_ray(cpus=2, gpus=2, env=env) as ray:
        yield ray


class TwoLives(Lifecycle):
    """On a GPU for each."""

    def setup(self, worker_metadata: Any = None) -> None:
        self._note("setup", os.environ["CUDA_VISIBLE_DEVICES"])

    def process(self, task: Any) -> Any:
        deadline = time.monotonic() + 300  # fast workers would be through before the second one is there
        while self.journal.read_text().count("setup ") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        seen = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "FLAVOUR")}
        task._metadata.update(seen, pid=str(os.getpid()))
        return task


@engines(*EACH)
def test_the_life_the_gpu_and_the_environment_of_a_worker(
    backend: str, two_gpus: TestRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal"
    resources = Resources(cpus=0.5, gpus=1)
    environment = {"env_vars": {"FLAVOUR": "vanilla"}}
    stage = TwoLives("life", journal).with_(num_workers=2, resources=resources, runtime_env=environment)
    outputs = runner(backend, two_gpus, monkeypatch)([Step("cpu", cpus=0.5), stage], 12)
    lines = [line.split() for line in journal.read_text().splitlines()]
    assert [line[0] for line in lines].count("setup_on_node") == 1
    assert lines[0][0] == "setup_on_node"
    assert len(lines[0][2]) == 56  # a real node id
    workers = {pid: device for call, pid, *device in lines if call == "setup"}
    assert sorted(workers.values()) == [["2"], ["3"]]
    assert {line[1] for line in lines if line[0] == "teardown"} == set(workers)
    assert len(outputs) == 12
    for task in outputs:
        assert workers[task._metadata["pid"]] == [task._metadata["CUDA_VISIBLE_DEVICES"]]
        assert task._metadata["FLAVOUR"] == "vanilla"


@engines("ray_actor_pool")
def test_random_pipelines_do_what_a_plain_loop_does(backend: str, two_cpus: TestRay) -> None:
    compare_random_pipelines(backend, two_cpus.env, examples=4)
    wait_for_no_workers(two_cpus)
