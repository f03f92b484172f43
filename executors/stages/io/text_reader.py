"""Reads text files, each one a document."""

from __future__ import annotations

import codecs
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.remarks import leave_out_files
from curator_slurm.executors.stages.columns import frame, select
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader
from curator_slurm.executors.stages.io.storage import read_bytes

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("text", "path", "file_name", "bytes")


@dataclass
class TextReaderStage(BaseReader):
    """Reads groups of text files; a file is a document with the columns text, path, file_name and bytes.

    `read_kwargs`: `storage_options`, `encoding` (default utf-8), `errors` (as Python's: `strict`, the default, is an
    error that names the file; `replace` puts U+FFFD in place of what is wrong), `compression` (default: by the name's
    suffix). A byte order mark is dropped; line ends stay as they are. `bytes` counts the decompressed file.
    """

    name: str = "text_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            codecs.lookup(self.read_kwargs.get("encoding", "utf-8"))
            codecs.lookup_error(self.read_kwargs.get("errors", "strict"))
        except LookupError as error:
            raise ValueError(f"TextReader: {error}") from None
        unknown = [name for name in self.fields or [] if name not in COLUMNS]
        if unknown:
            raise ValueError(f"TextReader has no column {unknown[0]!r}; it has {', '.join(COLUMNS)}")

    def outputs(self) -> tuple[list[str], list[str]]:
        attributes, columns = super().outputs()
        return attributes, [*([] if self.fields else COLUMNS), *columns]

    def known_read_kwargs(self) -> tuple[str, ...]:
        return "encoding", "errors", "compression"

    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """One row for each file.

        Raises:
            ValueError: a file is not in this encoding; it names the file and the place.
        """
        options = dict(read_kwargs or {})
        encoding, errors = options.get("encoding", "utf-8"), options.get("errors", "strict")
        rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        wrong: dict[str, ValueError] = {}
        for path in paths:
            try:
                content = read_bytes(path, options.get("storage_options"), options.get("compression", "infer"))
                text = content.decode(encoding, errors)
            except UnicodeDecodeError as error:
                cure = "read_kwargs={'errors': 'replace'} reads it anyway"
                if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    cure = "it begins as UTF-16 does, which read_kwargs={'encoding': 'utf-16'} reads"
                wrong[path] = ValueError(f"{path}: not {encoding}: {error}; {cure}")
                continue
            except ValueError as error:
                wrong[path] = error
                continue
            rows["text"].append(text.removeprefix("\ufeff"))
            rows["path"].append(path)
            rows["file_name"].append(posixpath.basename(path))
            rows["bytes"].append(len(content))
        leave_out_files(wrong, paths)
        data = frame(rows, len(rows["path"]))
        return data if fields is None else select(data, fields)


@dataclass
class TextReader(CompositeReader):
    """Reads text files: `FilePartitioningStage` and `TextReaderStage`."""

    STAGE: ClassVar[type[BaseReader]] = TextReaderStage

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    fields: list[str] | None = None
    read_kwargs: dict[str, Any] | None = None
    task_type: str = "document"
    file_extensions: list[str] = field(default_factory=lambda: [".txt"])
    _generate_ids: bool = False
    _assign_ids: bool = False
    name: str = "text_reader"
    allow_empty: bool = False
