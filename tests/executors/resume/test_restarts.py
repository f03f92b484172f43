"""Which pipelines go on after a restart without being asked, and which begin anew: never wrong, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from loop import TrackedLoop

from curator_slurm.common.checkpoint_files import read_finished
from curator_slurm.executors import DocumentBatch, Pipeline, ProcessingStage
from curator_slurm.executors.resume.checkpoint import SourcesGoneError, checkpointing
from curator_slurm.executors.resume.restarts import not_replaced, why_anew
from curator_slurm.executors.resumed_run import resumed_run
from curator_slurm.executors.stages import ExactDeduplicationPipeline, JsonlReader, JsonlWriter


class Own(ProcessingStage[Any, Any]):
    """A stage of the user's."""

    name = "own"

    def process(self, task: Any) -> Any:
        return task


class Part(DocumentBatch):
    """A task that is known by what is in it."""

    def get_deterministic_id(self) -> str:
        return f"part{self.data['x'].iloc[0]}"


class Files(Own):
    """A source whose tasks have names."""

    name = "files"

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, task: Any) -> list[DocumentBatch]:
        return [Part("d", pd.DataFrame({"x": [number]})) for number in range(self.count)]


class Numbers(Own):
    """A source."""

    def process(self, task: Any) -> list[DocumentBatch]:
        return [DocumentBatch("d", pd.DataFrame({"x": [number]})) for number in range(3)]


class Vouches(Own):
    name = "vouches"
    is_resumable = True


def foreign(**fields: Any) -> Any:
    """A writer of NeMo Curator, as far as it is seen."""
    kind = type("CuratorsWriter", (Own,), {"__module__": "nemo_curator.stages.text.io.writer.jsonl", **fields})
    return kind()


def in_batches(size: int) -> Any:
    def process_batch(self: Any, tasks: list[Any]) -> list[Any]:
        return tasks

    return type("Batched", (Own,), {"process_batch": process_batch, "batch_size": size, "name": "batched"})()


def reason(*stages: Any, executor: Any = None, kind: type[Pipeline] = Pipeline) -> str:
    pipeline = kind("p", stages=list(stages))
    pipeline.build()
    return why_anew(pipeline, pipeline.stages, executor or TrackedLoop())


def test_pipelines_that_go_on(tmp_path: Path) -> None:
    ours = [JsonlReader(str(tmp_path)), Own(), JsonlWriter(str(tmp_path / "out"), mode="overwrite")]
    assert reason(*ours) == ""
    assert reason(Own(), in_batches(4), Own()) == ""
    assert reason(Own(), foreign(mode="ignore", path="/out")) == ""
    assert reason(Own(), in_batches(1), foreign(mode="ignore", path="/out")) == ""


class WithItsOwnRun(Pipeline):
    """Sums up what it gets."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return sum(super().run(*args, **kwargs) or [])


@pytest.mark.parametrize(
    ("words", "stages", "more"),
    [
        ("has a `run` of its own", (Own(),), {"kind": WithItsOwnRun}),
        ("object does not report which source partitions are finished", (Own(),), {"executor": object()}),
        ("stage 'own' is not resumable", (type("No", (Own,), {"is_resumable": False})(),), {}),
        ("(mode='overwrite')", (Own(), foreign(mode="overwrite", path="/out")), {}),
        ("stage 'batched' may combine tasks", (Own(), in_batches(4), foreign(mode="ignore", path="/out")), {}),
    ],
)
def test_pipelines_that_begin_anew(words: str, stages: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert words in reason(*stages, **more)


def test_a_workflow_begins_anew(tmp_path: Path) -> None:
    stages = [JsonlWriter(str(tmp_path / "out"))]
    workflow = ExactDeduplicationPipeline("p", JsonlReader(str(tmp_path)), stages, str(tmp_path / "w"))
    assert "ExactDeduplicationPipeline has a `run` of its own" in why_anew(workflow, [], TrackedLoop())


def test_files_that_nobody_is_known_to_replace(tmp_path: Path) -> None:
    ours, curators = JsonlWriter(str(tmp_path / "ours")), foreign(mode="ignore", path=str(tmp_path))
    assert not_replaced([Own(), ours], tmp_path, ["ours/0_1.jsonl"]) == ""
    assert not_replaced([ours], tmp_path, ["by-a-function.txt"]) == ""
    assert not_replaced([Vouches(), ours], tmp_path, ["image.png"]) == ""
    assert not_replaced([Own(), curators], tmp_path, ["0123456789ab.jsonl"]) == ""
    for name in ("worker-1.txt", "sub/0123456789ab.jsonl", "0123456789abcdef0123456789abcdef.jsonl"):
        found = not_replaced([Own(), curators], tmp_path, ["0123456789ab.jsonl", name])
        assert f"{name} in the outputs is not of a writer that replaces its files" in found
        assert "'own'" in found


def test_in_a_restarted_run_our_writers_leave_their_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with resumed_run(True):
        for mode in ("overwrite", "error"):
            JsonlWriter(str(tmp_path), mode=mode)
    assert (tmp_path / "kept").exists()
    with resumed_run(False), pytest.raises(FileExistsError):
        JsonlWriter(str(tmp_path), mode="error")


def test_a_pipeline_is_tracked_where_nobody_gave_it_a_path(tmp_path: Path) -> None:
    for left in (3, 0):
        with checkpointing(tmp_path / "log", automatic=True):
            pipeline = Pipeline("p", stages=[Files(3), JsonlWriter(str(tmp_path / "out"))])
            assert len(pipeline.run(TrackedLoop()) or []) == left
    assert len(Pipeline("p", stages=[Files(3)]).run(TrackedLoop()) or []) == 3


def test_a_position_is_no_name_unless_the_source_vouches_for_it(tmp_path: Path) -> None:
    class Sure(Numbers):
        is_resumable = True

    for source, folder in ((Numbers(), "log"), (Sure(), "vouched")):
        with checkpointing(tmp_path / folder, automatic=True):
            Pipeline("p", stages=[source, Own()]).run(TrackedLoop())
    assert count(tmp_path / "log") == 0
    assert count(tmp_path / "vouched") == 3


def test_partitions_that_are_not_made_any_more(tmp_path: Path) -> None:
    """As of a folder that the pipeline lists itself, and that has got another file: what was finished is in others."""
    for parts, words in ((3, ""), (4, ""), (2, "2 source partitions that an earlier attempt has finished")):
        with checkpointing(tmp_path / "log", automatic=True):
            pipeline = Pipeline("p", stages=[Files(parts), Own()])
            if words:
                with pytest.raises(SourcesGoneError, match=words):
                    pipeline.run(TrackedLoop())
            else:
                pipeline.run(TrackedLoop())
    with checkpointing(tmp_path / "log"):  # of one that others may share
        Pipeline("p", stages=[Files(2), Own()]).run(TrackedLoop())


def count(folder: Path) -> int:
    return len(set().union(*(log.sources for log in read_finished(folder))))
