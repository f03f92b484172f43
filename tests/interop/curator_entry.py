"""A pipeline of NeMo Curator's classes alone, as its users write one; drivers and workers of runs import it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nemo_curator.backends.slurm_array import SlurmArrayConfig
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.text.filters.heuristic.string import WordCountFilter
from nemo_curator.stages.text.filters.score_filter import ScoreFilter
from nemo_curator.stages.text.io.reader import JsonlReader
from nemo_curator.stages.text.io.writer import JsonlWriter
from nemo_curator.tasks import DocumentBatch


@dataclass
class Witness(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Notes in every row where a worker was, and what NeMo Curator thinks of its job array there."""

    name: str = "witness"

    def process(self, task: DocumentBatch) -> DocumentBatch:
        frame = task.to_pandas().copy()
        frame["element"] = os.environ.get("SLURM_ARRAY_TASK_ID", "none")
        frame["array"] = str(SlurmArrayConfig.from_env())
        return DocumentBatch(
            dataset_name=task.dataset_name, data=frame, _metadata=task._metadata, _stage_perf=task._stage_perf
        )


def build(files: list[str], output: str) -> Pipeline:
    print("the driver's array:", SlurmArrayConfig.from_env())
    pipeline = Pipeline(name="documents", description="documents that are long enough")
    pipeline.add_stage(JsonlReader(file_paths=files, files_per_partition=1, fields=["id", "text", "note"]))
    pipeline.add_stage(ScoreFilter(WordCountFilter(min_words=5), text_field="text", score_field="words"))
    pipeline.add_stage(Witness())
    pipeline.add_stage(JsonlWriter(path=output))
    return pipeline
