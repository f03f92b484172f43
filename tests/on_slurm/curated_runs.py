"""Runs that curate documents slowly, of which one knows what must come of them: for reports with something in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_slurm.runs import SMALL, Runs

DOCUMENTS = 40
"""Of a file."""
FEWEST_WORDS, LEAST_QUALITY = 30, 0.35
PIPELINE = f'''\
"""Drops documents that are short, or of little quality; judges slowly, as a model does."""

import time

from curator_slurm.executors import Pipeline, Resources
from curator_slurm.executors.stages import JsonlReader, JsonlWriter, ScoreFilter, WordCountFilter


class Judge:
    """Takes `pause` seconds for a document, computes for a third of them, and knows none without a figure."""

    def __init__(self, pause):
        self.pause = pause

    def score_document(self, text):
        began = time.monotonic()
        while time.monotonic() - began < self.pause / 3:
            pass
        time.sleep(self.pause * 2 / 3)
        opening, _, quality = text.partition(" has the quality ")
        if not quality:
            raise ValueError(f"{{opening!r}} cannot be judged")
        return float(quality.split()[0])

    def keep_document(self, score):
        return score >= {LEAST_QUALITY}


def build(files, output, pause, workers):
    small = Resources(cpus=0.25)
    judge = ScoreFilter(Judge(pause), "text", "quality").with_(name="quality filter", num_workers=workers)
    stages = [
        JsonlReader(files, files_per_partition=1),
        ScoreFilter(WordCountFilter(min_words={FEWEST_WORDS})).with_(name="length filter", resources=small),
        judge.with_(resources=Resources(cpus=0.5)),
        JsonlWriter(output).with_(resources=small),
    ]
    return Pipeline("curated", stages=stages)
'''


def is_broken(file: int) -> bool:
    """One file in twenty has a document that makes its task fail."""
    return file % 20 == 7


def document(file: int, number: int, *, broken: bool = False) -> tuple[str, int, float]:
    """Its text, its words, and its quality."""
    words, quality = 12 + (7 * file + 13 * number) % 90, (31 * file + 17 * number) % 100 / 100
    verdict = f"has the quality {quality:.2f}" if not broken else "has no quality anywhere near"
    text = f"Document {number} of file {file} {verdict} {'and more words ' * 40}"
    return " ".join(text.split()[:words]), words, quality


@dataclass(frozen=True)
class Curated:
    """A run over so many files; with `broken`, one in twenty fails."""

    runs: Runs
    files: int
    name: str = "curated"
    pause: float = 0.02
    workers: int = 3
    broken: bool = False

    def spec(self, backend: str, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """Its spec, after its files are there; `sections` take the place of its own."""
        folder = self.runs.folder / f"{self.name}-in"
        folder.mkdir()
        for file in range(self.files):
            lines = [
                json.dumps({"id": f"{file}-{number}", "text": self._text(file, number)}) for number in range(DOCUMENTS)
            ]
            (folder / f"{file:04}.jsonl").write_text("\n".join(lines) + "\n")
        (self.runs.folder / "curated.py").write_text(PIPELINE)
        files = "${shard.files}" if "shards" in sections else "${input.files}"
        arguments = {"files": files, "output": "${output_dir}", "pause": self.pause, "workers": self.workers}
        return {
            "name": self.name,
            "pipeline": {"entry": "curated:build", "args": arguments},
            "input": {"paths": [f"{folder.name}/*.jsonl"]},
            "executor": {"backend": backend},
            "failures": {"on_task_error": "skip"},
            "report": {"samples": 2, "sample_characters": 120},
            "resources": SMALL,
            **sections,
        }

    def _text(self, file: int, number: int) -> str:
        """In a file that fails, the last document that is long enough has no quality."""
        return document(file, number, broken=self.broken and is_broken(file) and number == _last_long(file))[0]

    def expected(self) -> set[str]:
        """The ids of the documents that must be published."""
        return {
            f"{file}-{number}"
            for file in range(self.files)
            if not (self.broken and is_broken(file))
            for number in range(DOCUMENTS)
            if document(file, number)[1] >= FEWEST_WORDS and document(file, number)[2] >= LEAST_QUALITY
        }

    def failing(self) -> int:
        """How many tasks must fail."""
        return sum(map(is_broken, range(self.files))) if self.broken else 0


def _last_long(file: int) -> int:
    return max(number for number in range(DOCUMENTS) if document(file, number)[1] >= FEWEST_WORDS)


def published(outputs: Path) -> list[str]:
    """The ids of all documents in a folder of outputs."""
    texts = [path.read_text() for path in outputs.rglob("*.jsonl")]
    return [json.loads(line)["id"] for text in texts for line in text.splitlines()]
