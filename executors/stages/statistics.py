"""Counts that travel with the batches, and their sum over a whole run.

What a stage counts goes into the metadata of the batch and from there, through the writers, into the tasks that
`Pipeline.run` returns; each of these comes once, however often a task was retried, so the sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.document_samples import show_documents
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.columns import keep_rows, values_of, with_data
from curator_slurm.executors.stages.not_text import results_of
from curator_slurm.executors.stages.text_parts import line_count
from curator_slurm.executors.stages.word_splitter import WordSplitter
from curator_slurm.executors.tasks import DocumentBatch

DROPPED = "dropped"
"""Key of the metadata: reason -> number of documents."""
STATISTICS = "statistics"
"""Key of the metadata: what DocumentStatistics counted."""


@dataclass
class DocumentStatistics(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Counts documents, characters, words and lines of a text column; the documents stay as they are.

    Words are those of `lang`, as filters count them; `lines` counts blank ones, too.
    """

    text_field: str = "text"
    name: str = "document_statistics"
    lang: str = "en"

    def __post_init__(self) -> None:
        self._words = WordSplitter(self.lang)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def process(self, task: DocumentBatch) -> DocumentBatch:
        given = values_of(task.data, self.text_field)
        found, stays = results_of(self._word_count, given, self.text_field, task)
        data = keep_rows(task.data, stays)
        words = [count for count in found if count is not None]
        texts = [text for text, stay in zip(given, stays, strict=True) if stay and text is not None]
        counted = {
            "documents": len(data),
            "characters": sum(map(len, texts)),
            "bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in texts),
            "words": sum(words),
            "lines": sum(map(line_count, texts)),
            "words_min": min(words, default=None),
            "words_max": max(words, default=None),
        }
        return with_data(task, data, **{STATISTICS: counted})

    def _word_count(self, text: str | None) -> int | None:
        return None if text is None else len(self._words(text))


def add_dropped(batch: DocumentBatch, reason: str, count: int) -> None:
    """Count documents that were dropped from a batch."""
    before = batch._metadata.get(DROPPED, {})
    batch._metadata = {**batch._metadata, DROPPED: {**before, reason: before.get(reason, 0) + count}}


def drop_rows(batch: DocumentBatch, keep: Sequence[bool], reason: str, values: Sequence[Any] = ()) -> DocumentBatch:
    """The batch with the flagged rows only; the dropped ones are counted by reason in its metadata.

    `values` are what was decided by, for those who look at samples of both.
    """
    show_documents(batch.data, keep, reason, values)
    dropped = len(keep) - sum(keep)
    if not dropped:
        return batch
    changed = with_data(batch, keep_rows(batch.data, keep))
    add_dropped(changed, reason, dropped)
    return changed


def summarize(tasks: Iterable[Any] | None) -> dict[str, Any]:
    """The sums over the tasks that a run returned: documents read, kept and dropped (by reason), and their sizes.

    `kept` needs a DocumentStatistics stage behind the last filter; `read` is what was kept or dropped.
    """
    dropped: dict[str, int] = {}
    kept: dict[str, Any] = {"documents": 0, "characters": 0, "bytes": 0, "words": 0, "lines": 0}
    extremes: dict[str, list[int]] = {"words_min": [], "words_max": []}
    for task in tasks or []:
        for reason, count in task._metadata.get(DROPPED, {}).items():
            dropped[reason] = dropped.get(reason, 0) + count
        counted = task._metadata.get(STATISTICS, {})
        for key in kept:
            kept[key] += counted.get(key, 0)
        for key, found in extremes.items():
            if counted.get(key) is not None:
                found.append(counted[key])
    kept["words_min"] = min(extremes["words_min"], default=None)
    kept["words_max"] = max(extremes["words_max"], default=None)
    total = sum(dropped.values())
    return {
        "documents_read": kept["documents"] + total,
        "documents_kept": kept["documents"],
        "documents_dropped": total,
        "dropped_by": dict(sorted(dropped.items(), key=lambda item: (-item[1], item[0]))),
        "kept": kept,
    }
