"""Entries as rows, which every writer can write."""

from __future__ import annotations

import os
from typing import Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.tasks import AudioTask, DocumentBatch

_NO_COLUMNS = frozenset({"waveform", "audio", "audio_data", "audio_array"})
"""Keys under which stages keep samples."""


class AudioToDocumentStage(ProcessingStage[AudioTask, DocumentBatch]):
    """Makes one batch of documents of `batch_size` entries: a column for each key, null where an entry lacks it.

    Samples that a stage has left in an entry are no column. With JsonlWriter after it, which writes to the folder
    `manifest_dir`, it writes a manifest: paths of files beside that folder begin there then, so that all can be moved.
    """

    name = "AudioToDocumentStage"
    batch_size = 64

    def __init__(self, manifest_dir: str | None = None) -> None:
        self.manifest_dir = None if manifest_dir is None else storage.absolute(manifest_dir)

    def process(self, task: AudioTask) -> DocumentBatch:
        return self.process_batch([task])[0]  # type: ignore[return-value]

    def process_batch(self, tasks: list[AudioTask]) -> list[DocumentBatch | None]:
        """The batch.

        Raises:
            ValueError: values of a key cannot be one column; names the key.
        """
        import pyarrow as pa

        if not tasks:
            return []
        keys = dict.fromkeys(key for task in tasks for key in task.data if key not in _NO_COLUMNS)
        columns: dict[str, Any] = {}
        for key in keys:
            try:
                columns[key] = pa.array([self._value(task.data.get(key)) for task in tasks])
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
                raise ValueError(f"{self.name}: values of {key!r} do not fit into one column: {error}") from error
        dataset = ",".join(dict.fromkeys(task.dataset_name for task in tasks))
        perf = [record for task in tasks for record in task._stage_perf]
        return [DocumentBatch(dataset, pa.table(columns), _stage_perf=perf)]

    def _value(self, value: Any) -> Any:
        """A path of a file beside the manifest as it is from there; every other value as it is."""
        if self.manifest_dir is None or not isinstance(value, str):
            return value
        beside = os.path.dirname(self.manifest_dir) + "/"  # noqa: PTH120
        return os.path.relpath(value, self.manifest_dir) if value.startswith(beside) else value
