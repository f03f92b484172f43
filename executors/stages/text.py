"""Plain text files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from curator_slurm.executors.stages._files import compress, compression_of, open_binary
from curator_slurm.executors.stages._reading import BaseFileReader, FileReader
from curator_slurm.executors.stages._writing import BaseWriter
from curator_slurm.executors.tasks import DocumentBatch

Unit = Literal["file", "line"]


@dataclass
class TextReaderStage(BaseFileReader):
    """Columns: `text`, `file_name`, and `line_number` (from 1) if a document is a line; blank lines are none.

    `read_kwargs`: `encoding` (utf-8), `errors` (strict; `replace` reads anything), `compression`, `storage_options`.
    """

    name: str = "text_reader"
    document: Unit = "file"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.document not in ("file", "line"):
            raise ValueError(f"document is {self.document!r}; a document is a `file` or a `line`")

    def read_file(self, path: str) -> pd.DataFrame:
        with open_binary(path, self.storage_options, self.read_kwargs.get("compression", "infer")) as file:
            content = file.read()
        try:
            text = content.decode(self.read_kwargs.get("encoding", "utf-8"), self.read_kwargs.get("errors", "strict"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: {error}; set read_kwargs encoding, or errors: replace") from None
        if self.document == "file":
            frame = pd.DataFrame({"text": [text] if text else [], "file_name": [path] if text else []}, dtype=object)
        else:
            lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
            frame = pd.DataFrame(
                {
                    "text": [line.rstrip("\r") for _, line in lines],
                    "file_name": [path] * len(lines),
                    "line_number": [number for number, _ in lines],
                }
            )
        return frame if self.fields is None else frame[self.fields]


@dataclass
class TextReader(FileReader):
    """Reads text: groups the files, then reads each group into one batch. A document is a `file` or a `line`."""

    name: str = "text_reader"
    document: Unit = "file"
    default_extensions: ClassVar[list[str]] = [".txt"]

    def reader(self) -> TextReaderStage:
        return TextReaderStage(fields=self.fields, read_kwargs=self.read_kwargs or {}, document=self.document)


@dataclass
class TextWriter(BaseWriter):
    """Writes the column `text_field`, one document after the other, each ending in a line break.

    `write_kwargs`: `encoding`, `errors`, `compression`, `storage_options`.
    """

    file_extension: str = "txt"
    write_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "text_writer"
    text_field: str = "text"

    def write_file(self, task: DocumentBatch, path: str) -> None:
        kind = self.write_kwargs.get("compression", "infer")
        kind = compression_of(f"x.{self.file_extension}") if kind == "infer" else kind
        texts = (str(text) for text in task.to_pandas()[self.text_field])
        joined = "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)
        encoded = joined.encode(self.write_kwargs.get("encoding", "utf-8"), self.write_kwargs.get("errors", "strict"))
        Path(path).write_bytes(compress(encoded, kind))
