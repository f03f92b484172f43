"""Writes documents as text files."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import IO, Any

from curator_slurm.executors.remarks import described, leave_out
from curator_slurm.executors.stages.columns import values_of
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import BaseWriter, file_stem, origin_mark
from curator_slurm.executors.tasks import DocumentBatch


@dataclass
class TextWriter(BaseWriter):
    """Writes each document to a text file of its own, `<task id>_<row>.txt`; a null gives no file.

    `fields` names the one column to write (default: text). `write_kwargs`: `encoding` (default utf-8), `errors`.
    """

    file_extension: str = "txt"
    name: str = "text_writer"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fields = self.fields if self.fields is not None else ["text"]
        if len(self.fields) != 1:
            raise ValueError("TextWriter writes one column; fields must name it")
        self._encoding = codecs.lookup(self.write_kwargs.get("encoding", "utf-8")).name
        self._errors = self.write_kwargs.get("errors", "strict")

    def known_write_kwargs(self) -> tuple[str, ...]:
        return "encoding", "errors"

    def write_task(self, task: DocumentBatch) -> list[str]:
        """Write the documents; the files written."""
        (column,) = self.fields or ["text"]
        stem, mark = file_stem(task.task_id), origin_mark(task)
        files = []
        for row, text in enumerate(values_of(task.data, column)):
            if text is None:
                continue
            path = storage.join(self.path, f"{stem}_{row:05d}{mark}.{self.file_extension}")
            try:
                content = str(text).encode(self._encoding, self._errors)
            except UnicodeEncodeError as error:
                what = f"{self.name}: {described(task)}, row {row}: {error}"
                leave_out(ValueError(f"{what}; write_kwargs={{'errors': 'replace'}} puts a question mark there"))
                continue
            storage.write_atomically(path, _Content(content), self.storage_options)
            files.append(path)
        return files

    def write_rows(self, data: Any, sink: IO[bytes]) -> None:
        """Not used: `write_task` writes a file per document."""
        raise NotImplementedError


class _Content:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, sink: IO[bytes]) -> None:
        sink.write(self.content)
