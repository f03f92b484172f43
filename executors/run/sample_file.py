"""Where the driver keeps the documents that filters have kept and dropped, if somebody has asked to see some.

CURATOR_SLURM_SAMPLES says so, and where: an object of JSON with `file` and what SampleLimits has.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curator_slurm.common.appended_files import append_text
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.document_samples import DocumentSample, SampleLimits

log = logging.getLogger(__name__)

SAMPLES = "CURATOR_SLURM_SAMPLES"


class SampleFile:
    """The file of one pipeline's samples: the first that come of each filter, kept and dropped."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._taken: Counter[tuple[int, str, bool]] = Counter()
        self._seen: set[str] = set()
        self.limits, self._path = _settings(os.environ.get(SAMPLES, ""))

    def add(self, position: int, stage: str, report: BatchReport) -> None:
        """Keep what the report of a batch has of it, as far as there are not enough."""
        lines = [line for sample in report.samples if (line := self._line(position, stage, sample))]
        if lines and self._path is not None:
            self._append("".join(lines))

    def _line(self, position: int, stage: str, sample: DocumentSample) -> str:
        key = (position, sample.by, sample.kept)
        if self.limits is None or self._taken[key] >= self.limits.documents:
            return ""
        of = {"pipeline": self._pipeline, "stage": stage, "position": position}
        line = json.dumps({**of, **asdict(sample)}, ensure_ascii=False) + "\n"
        if line in self._seen:  # its task ran again
            return ""
        self._taken[key] += 1
        self._seen.add(line)
        return line

    def _append(self, text: str) -> None:
        assert self._path is not None
        try:
            append_text(self._path, text, 0o600)
        except OSError as error:
            log.warning("no more documents are kept to be looked at: %s: %s", self._path, error.strerror)
            self._path = None


def _settings(text: str) -> tuple[SampleLimits | None, Path | None]:
    if not text:
        return None, None
    value: dict[str, Any] = json.loads(text)
    limits = SampleLimits(
        int(value["documents"]), int(value["characters"]), tuple(value["fields"]), tuple(value["hidden"])
    )
    return (limits, Path(value["file"])) if limits.documents > 0 else (None, None)
