"""The pipeline of spec.yaml: documents in many languages, a classifier as an actor stage, and what it found."""

from __future__ import annotations

import ast
import importlib.util
import json
import random
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
from sentences import SENTENCES

from curator_slurm.executors import DocumentBatch, EmptyTask, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.stages import FilterStage, JsonlReader, ParquetWriter

DOCUMENTS_PER_TASK = 50


def build(
    output_dir: str,
    documents_per_language: int = 100,
    min_score: float = 0.9,
    cpus: float = 1.0,
    gpus: float = 0.0,
    files: list[str] | None = None,
) -> Classification:
    """Documents of `files` (JSONL with a field `text`), or made here; classified, filtered and written."""
    if importlib.util.find_spec("py3langid") is None:
        raise ModuleNotFoundError("this example needs py3langid: pip install 'curator-slurm[examples]'")
    source = JsonlReader(files, files_per_partition=4) if files else MakeDocuments(documents_per_language)
    return Classification(output_dir, source, min_score, Resources(cpus=cpus, gpus=gpus))


class Classification(Pipeline):
    """The pipeline; at its end it writes languages.json."""

    def __init__(self, output_dir: str, source: Any, min_score: float, resources: Resources) -> None:
        self.output_dir = Path(output_dir)
        super().__init__(
            name="classification",
            stages=[
                source,
                LanguageClassifier(resources),
                FilterStage(Sure(min_score), columns=["language_score"], name="sure"),
                ParquetWriter(f"{output_dir}/documents"),
            ],
        )

    def run(self, executor: Any = None, *arguments: Any, **options: Any) -> list[Any] | None:
        tasks = super().run(executor, *arguments, **options)
        found = summarize(self.output_dir / "documents")
        (self.output_dir / "languages.json").write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps(found), flush=True)
        return tasks


class MakeDocuments(ProcessingStage[EmptyTask, DocumentBatch]):
    """Documents of two to four sentences in ten languages, and the standard library's own docstrings in English."""

    name = "make_documents"
    resources = Resources(cpus=0.5)

    def __init__(self, per_language: int) -> None:
        self.per_language = per_language

    def ray_stage_spec(self) -> dict[str, Any]:
        return {"is_fanout_stage": True}

    def process(self, _: EmptyTask) -> list[DocumentBatch]:
        chance = random.Random(2)
        documents = [
            {"id": f"{language}-{number}", "text": " ".join(chance.sample(sentences, chance.randint(2, 4)))}
            | {"known_language": language}
            for language, sentences in SENTENCES.items()
            for number in range(self.per_language)
        ]
        documents += [
            {"id": f"docstring-{number}", "text": text, "known_language": "en"}
            for number, text in enumerate(docstrings(self.per_language))
        ]
        chance.shuffle(documents)
        groups = [documents[i : i + DOCUMENTS_PER_TASK] for i in range(0, len(documents), DOCUMENTS_PER_TASK)]
        return [DocumentBatch("documents", pa.Table.from_pylist(group)) for group in groups]


def docstrings(most: int) -> list[str]:
    """What the modules of Python's standard library say of themselves, where they say more than a line."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        if len(found) < most:
            text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
            found += [text] if len(text.split()) > 30 else []
    return found


class LanguageClassifier(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds the columns language and language_score; every worker loads the model once, in `setup`."""

    name = "classify_language"
    batch_size = 4

    def __init__(self, resources: Resources, text_field: str = "text") -> None:
        self.resources = resources
        self.text_field = text_field
        self.model: Any = None

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["language", "language_score"]

    def setup(self, _: Any = None) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self.model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def process(self, task: DocumentBatch) -> DocumentBatch:
        table = task.to_pyarrow()
        answers = [self.model.classify(text or "") for text in table[self.text_field].to_pylist()]
        table = table.append_column("language", pa.array([language for language, _ in answers], pa.string()))
        table = table.append_column("language_score", pa.array([float(score) for _, score in answers], pa.float64()))
        return DocumentBatch(task.dataset_name, table, _metadata=task._metadata, _stage_perf=task._stage_perf)


class Sure:
    """Whether the classifier is sure enough."""

    def __init__(self, min_score: float) -> None:
        self.min_score = min_score

    def __call__(self, document: dict[str, Any]) -> bool:
        return float(document["language_score"]) >= self.min_score


def summarize(folder: Path) -> dict[str, Any]:
    """How many documents of which language were kept; and where languages are known, how many are right."""
    counts: Counter[str] = Counter()
    known = right = 0
    if folder.exists():
        dataset = pyarrow.dataset.dataset(folder)
        columns = [name for name in ("language", "known_language") if name in dataset.schema.names]
        for batch in dataset.to_batches(columns=columns):
            found = batch.to_pydict()
            counts.update(found["language"])
            pairs = list(zip(found["language"], found.get("known_language", []), strict=False))
            known += len(pairs)
            right += sum(language == expected for language, expected in pairs)
    return {
        "documents": sum(counts.values()),
        "languages": dict(counts.most_common()),
        "accuracy": round(right / known, 4) if known else None,
    }
