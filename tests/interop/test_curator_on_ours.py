"""NeMo Curator's pipelines and stages on our executors: what its own backends promise holds here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

import ray  # noqa: E402
from curator_stages import COUNTER, AddLength, Calls, Numbers, Sink, SplitRows, WithSetup, calls  # noqa: E402
from loguru import logger  # noqa: E402
from nemo_curator.pipeline import Pipeline  # noqa: E402
from nemo_curator.stages.text.io.reader import JsonlReader  # noqa: E402
from nemo_curator.stages.text.io.writer import JsonlWriter  # noqa: E402
from nemo_curator.tasks import FileGroupTask  # noqa: E402
from nemo_curator.tasks.utils import TaskPerfUtils  # noqa: E402

from curator_slurm.executors import RayActorPoolExecutor, RayDataExecutor, XennaExecutor  # noqa: E402

FILES, ROWS = 15, 100
EXECUTORS = {
    "xenna_streaming": lambda: XennaExecutor({"execution_mode": "streaming"}),
    "xenna_batch": lambda: XennaExecutor({"execution_mode": "batch"}),
    "ray_data": RayDataExecutor,
    "ray_actor_pool": RayActorPoolExecutor,
}
NAMES = ["jsonl_reader", "add_length", "split_rows", "add_length", "with_setup", "jsonl_writer"]


class Done:
    """A pipeline that has run, and what is known of it."""

    def __init__(self, tasks: list[Any], out: Path, counts: dict[str, int], events: list[Any], nodes: set[str]) -> None:
        self.tasks, self.out, self.counts, self.events, self.nodes = tasks, out, counts, events, nodes


@pytest.fixture(scope="module", params=list(EXECUTORS))
def done(request: pytest.FixtureRequest, cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "in").mkdir()
    for file in range(FILES):
        rows = [{"id": row, "text": f"document {row}"} for row in range(ROWS) if row % FILES == file]
        (folder / "in" / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        with ray.init(log_to_driver=False):
            counter = Calls.options(name=COUNTER, namespace=COUNTER, lifetime="detached").remote()
            ray.get(counter.count.remote("ready"))
        stages = [
            JsonlReader(str(folder / "in"), files_per_partition=2),
            AddLength("length"), SplitRows(), AddLength("again"), WithSetup(), JsonlWriter(str(folder / "out")),
        ]  # fmt: skip
        tasks = Pipeline("interop", stages=stages).run(EXECUTORS[request.param]())
        with ray.init(log_to_driver=False):  # the driver can come back, and the actor has survived
            counts, events = ray.get(calls().all.remote())
            nodes = {node["NodeID"] for node in ray.nodes()}
            ray.kill(calls())
        yield Done(tasks or [], folder / "out", counts, events, nodes)


def test_every_row_is_in_a_file_of_its_own(done: Done) -> None:
    files = list(done.out.glob("*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) == ROWS
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    assert all(row["length"] == row["again"] == len(row["text"]) for row in rows)


def test_tasks_and_their_ids(done: Done) -> None:
    assert all(isinstance(task, FileGroupTask) for task in done.tasks)
    ids = [task.task_id for task in done.tasks]
    assert len(set(ids)) == len(ids) == ROWS
    for segments in (task_id.split("_") for task_id in ids):
        assert segments[0] == "0"
        assert all(segments)
        assert len(segments[1]) == 12
        assert set(segments[1]) <= set("0123456789abcdef")
    assert len({len(task_id.split("_")) for task_id in ids}) == 1


def test_performance_records(done: Done) -> None:
    for task in done.tasks:
        assert [perf.stage_name for perf in task._stage_perf] == NAMES
        assert all(perf.process_time > 0 for perf in task._stage_perf)
        assert [perf.num_items_processed for perf in task._stage_perf[3:]] == [1, 1, 1]
        assert task._stage_perf[1].num_items_processed == task._stage_perf[2].num_items_processed
    metrics = TaskPerfUtils.collect_stage_metrics(done.tasks)
    assert metrics["add_length"]["custom.rows"].min() >= 1


def test_no_call_too_many(done: Done) -> None:
    assert done.counts == {"ready": 1, "length": 8, "again": ROWS}


def test_nodes_are_prepared_before_workers(done: Done) -> None:
    assert done.events[0][0] == "node"
    assert [kind for kind, _ in done.events].count("node") == 1
    assert {node for _, node in done.events} <= done.nodes


@pytest.fixture(params=["xenna_streaming", "ray_data", "ray_actor_pool"])
def executor(request: pytest.FixtureRequest, connected: Any) -> Any:
    return EXECUTORS[request.param]()


def run(executor: Any, checkpoint: Path | None, count: int, **sink: Any) -> list[int]:
    pipeline = Pipeline("numbers", stages=[Numbers(count=count), Sink(**sink)])
    return sorted(task.data for task in pipeline.run(executor, checkpoint_path=checkpoint) or [])


def test_its_checkpoint_is_kept_by_its_actor(executor: Any, tmp_path: Path) -> None:
    logger.remove()  # its actor takes the logger along, and what pytest has in the place of stderr cannot be sent
    assert run(executor, tmp_path, 5, fail=(1,), none=(3,)) == [0, 2, 4]
    assert list((tmp_path / ".nemo_curator_metadata").glob("*.mdb"))
    assert run(executor, tmp_path, 6) == [1, 5]
    assert run(executor, tmp_path, 6) == []


def test_failed_tasks_leave_its_marker(executor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_CURATOR_FAILED_TASKS_DIR", str(tmp_path / "failed"))
    assert run(executor, None, 3) == [0, 1, 2]
    assert not (tmp_path / "failed").exists()
    assert run(executor, None, 3, fail=(2,)) == [0, 1]
    assert (tmp_path / "failed" / "failed_tasks.json").is_file()


def test_its_array_settings_share_the_source(executor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_CURATOR_SLURM_ARRAY_ENABLED", "1")
    monkeypatch.setenv("NEMO_CURATOR_SLURM_ARRAY_TOTAL_SHARDS", "2")
    shares = []
    for shard in (0, 1):
        monkeypatch.setenv("NEMO_CURATOR_SLURM_ARRAY_SHARD_INDEX", str(shard))
        shares.append(run(executor, None, 20))
    assert sorted(shares[0] + shares[1]) == list(range(20))
    assert shares[0]
    assert shares[1]
