"""Ids that one actor gives out: the registry, and what readers do with the actor of a Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray_runs import MARKS
from stage_loop import rows, write_jsonl
from xenna_ray import TestRay

from curator_slurm.executors import Pipeline, RayActorPoolExecutor
from curator_slurm.executors.ray_connection import ray_session
from curator_slurm.executors.stages import (
    CURATOR_DEDUP_ID_STR,
    JsonlReader,
    ParquetReader,
    create_id_generator_actor,
    get_id_generator_actor,
    kill_id_generator_actor,
    write_id_generator_to_disk,
)
from curator_slurm.executors.stages.io.id_generator import IdGeneratorBase


def test_ranges_do_not_overlap_and_come_again_for_the_same_files() -> None:
    ids = IdGeneratorBase(start_id=5)
    given = [(["a", "b"], 3), ("c", 2), (["a", "b"], 3)]
    assert [ids.register_batch(files, count) for files, count in given] == [5, 8, 5]
    assert ids.get_batch_range(["c"], None) == ids.get_batch_range(None, ids.hash_files("c")) == (8, 9)
    assert ids.next_id == 10


def test_what_was_never_registered_and_arguments_that_contradict() -> None:
    ids = IdGeneratorBase()
    with pytest.raises(KeyError):
        ids.get_batch_range("a", None)
    for arguments in ((None, None), ("a", "b")):
        with pytest.raises(ValueError, match="files or key"):
            ids.get_batch_range(*arguments)


def test_a_registry_on_disk(tmp_path: Path) -> None:
    ids = IdGeneratorBase()
    ids.register_batch("a", 3)
    ids.to_disk(str(tmp_path / "new" / "ids.json"))
    assert json.loads((tmp_path / "new" / "ids.json").read_text()) == {
        "next_id": 3,
        "batch_registry": {ids.hash_files("a"): [0, 2]},
    }
    again = IdGeneratorBase.from_disk(str(tmp_path / "new" / "ids.json"))
    assert (again.register_batch("a", 3), again.register_batch("b", 1)) == (0, 3)


def test_the_columns_that_a_reader_announces() -> None:
    reader = JsonlReader("x", fields=["text"], _generate_ids=True)
    assert reader.outputs() == (["data"], ["text", CURATOR_DEDUP_ID_STR])
    assert [stage.ray_stage_spec()["is_actor_stage"] for stage in reader.decompose()[1:]] == [True]
    assert JsonlReader("x").decompose()[1].ray_stage_spec()["is_actor_stage"] is False


def test_an_actor_needs_a_cluster_that_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(RuntimeError, match="needs a running Ray cluster"):
        create_id_generator_actor()


@pytest.fixture
def connected(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    with ray_session():
        yield


def read(reader: Any) -> list[dict[str, Any]]:
    found = rows(Pipeline("ids", stages=[reader]).run(RayActorPoolExecutor()) or [])
    return sorted(found, key=lambda row: str(row["text"]))


class TestOnRay:
    pytestmark = MARKS

    def test_ids_are_unique_come_again_and_outlive_the_actor(self, connected: None, tmp_path: Path) -> None:
        documents = [{"text": f"{file}-{row}"} for file in range(4) for row in range(3 + file)]
        for file in range(4):
            of_file = [document for document in documents if document["text"].startswith(f"{file}-")]
            write_jsonl(tmp_path / "in" / f"{file}.jsonl", of_file)
        given = {"file_paths": str(tmp_path / "in"), "files_per_partition": 2}
        create_id_generator_actor()
        try:
            first = read(JsonlReader(**given, _generate_ids=True))
            assert sorted(row[CURATOR_DEDUP_ID_STR] for row in first) == list(range(len(documents)))
            assert read(JsonlReader(**given, _generate_ids=True)) == first
            write_id_generator_to_disk(str(tmp_path / "ids.json"))
        finally:
            kill_id_generator_actor()
        create_id_generator_actor(str(tmp_path / "ids.json"))
        try:
            assert read(JsonlReader(**given, _assign_ids=True)) == first
            write_jsonl(tmp_path / "in" / "0.jsonl", [{"text": "fewer"}])
            with pytest.raises(Exception, match="5 rows, but ids for 7 were registered"):
                read(JsonlReader(**given, _assign_ids=True))
        finally:
            kill_id_generator_actor()

    def test_a_column_that_is_there_already_is_kept(self, connected: None, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a"], CURATOR_DEDUP_ID_STR: [77]}), tmp_path / "a.parquet")
        create_id_generator_actor()
        try:
            assert read(ParquetReader(str(tmp_path), _generate_ids=True)) == [{"text": "a", CURATOR_DEDUP_ID_STR: 77}]
            with pytest.raises(ValueError, match="already"):
                create_id_generator_actor()
        finally:
            kill_id_generator_actor()

    def test_without_the_actor(self, connected: None, tmp_path: Path) -> None:
        write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
        with pytest.raises(ValueError):
            get_id_generator_actor()
        with pytest.raises(Exception, match=r"call create_id_generator_actor\(\)"):
            read(JsonlReader(str(tmp_path), _generate_ids=True))
