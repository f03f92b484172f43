"""Its stages for text, one after the other: our executors make of a dataset exactly what its own make, ids included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

import pyarrow.dataset as dataset  # noqa: E402
from nemo_curator.backends.ray_actor_pool import RayActorPoolExecutor as TheirPool  # noqa: E402
from nemo_curator.pipeline import Pipeline  # noqa: E402
from nemo_curator.stages.resources import Resources  # noqa: E402
from nemo_curator.stages.text.filters.heuristic import NonAlphaNumericFilter, UrlsFilter, WordCountFilter  # noqa: E402
from nemo_curator.stages.text.filters.score_filter import Filter, Score, ScoreFilter  # noqa: E402
from nemo_curator.stages.text.io.reader import JsonlReader, ParquetReader  # noqa: E402
from nemo_curator.stages.text.io.writer import JsonlWriter, ParquetWriter  # noqa: E402
from nemo_curator.stages.text.modifiers import Modify, NewlineNormalizer, QuotationRemover, UrlRemover  # noqa: E402
from nemo_curator.stages.text.modules.add_id import AddId  # noqa: E402
from nemo_curator.stages.text.modules.joiner import DocumentJoiner  # noqa: E402
from nemo_curator.stages.text.modules.splitter import DocumentSplitter  # noqa: E402

from curator_slurm.executors import RayActorPoolExecutor, RayDataExecutor, XennaExecutor  # noqa: E402

OURS: dict[str, Callable[[], Any]] = {
    "xenna": XennaExecutor,
    "ray_data": RayDataExecutor,
    "ray_actor_pool": RayActorPoolExecutor,
}
FILES, ROWS = 6, 20


def document(number: int) -> str:
    paragraphs = [f"Paragraph {part} of document {number} says this. " * (1 + number % 4) for part in range(number % 5)]
    noise = ["see https://example.org/" + "x" * 30, "\n\n\n\n", "$$$ %%% &&&" * (number % 3)]
    return ('"{}"' if number % 2 else "{}").format("\n\n".join([*paragraphs, *noise[: number % 4]]))


def small(*stages: Any) -> list[Any]:
    return [stage.with_(resources=Resources(cpus=0.5)) for stage in stages]


def cleaning(source: Path, goal: Path) -> Pipeline:
    """JSON Lines in, Parquet out: ids, modifiers, filters, and documents cut and joined again."""
    stages = small(
        AddId("id", id_prefix="doc"),
        Modify([NewlineNormalizer(), UrlRemover(), QuotationRemover()], input_fields="text"),
        ScoreFilter(WordCountFilter(min_words=8), text_field="text", score_field="words"),
        Score(NonAlphaNumericFilter(), score_field="signs", text_field="text"),
        Filter(is_readable, filter_field="signs"),
        ScoreFilter([UrlsFilter(max_url_to_text_ratio=0.9)], text_field="text"),
        DocumentSplitter("\n\n"),
        Modify(str.upper, input_fields="text"),
        DocumentJoiner("\n\n"),
    )
    reader = JsonlReader(str(source), files_per_partition=2, fields=["text", "number"])
    return Pipeline("cleaning", stages=[reader, *stages, ParquetWriter(str(goal))])


def is_readable(signs: float) -> bool:
    return signs < 0.3


def repeating(source: Path, goal: Path) -> Pipeline:
    """Parquet in, JSON Lines out."""
    scoring = ScoreFilter(WordCountFilter(min_words=20), text_field="text", score_field="words again")
    return Pipeline(
        "again", stages=[ParquetReader(str(source), fields=["id", "text"]), scoring, JsonlWriter(str(goal))]
    )


def curate(folder: Path, executor: Callable[[], Any]) -> tuple[list[Any], list[Any], list[str]]:
    """Rows of both datasets, and the ids of the tasks."""
    tasks = cleaning(folder.parent / "in", folder / "clean").run(executor()) or []
    again = repeating(folder / "clean", folder / "again").run(executor()) or []
    assert len({path for task in again for path in task.data}) == len(again)
    rows = dataset.dataset(folder / "clean").to_table().to_pylist()
    lines = [line for path in (folder / "again").glob("*.jsonl") for line in path.read_text().splitlines() if line]
    ids = [task.task_id for task in tasks]
    return sorted(rows, key=lambda row: row["id"]), sorted(map(json.loads, lines), key=lambda row: row["id"]), ids


@pytest.fixture(scope="module")
def theirs(careless: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("text")
    (folder / "in").mkdir()
    for file in range(FILES):
        rows = [{"number": number, "text": document(number)} for number in range(file * ROWS, (file + 1) * ROWS)]
        (folder / "in" / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in careless.env.items():
            patch.setenv(name, value)
        (folder / "theirs").mkdir()
        return folder, curate(folder / "theirs", TheirPool)


@pytest.mark.parametrize("backend", OURS)
def test_rows_and_ids_are_those_of_its_own_executor(backend: str, theirs: tuple[Path, Any], connected: Any) -> None:
    folder, (clean, again, ids) = theirs
    assert 0 < len(again) < len(clean) < FILES * ROWS
    assert len({row["id"] for row in clean}) == len(clean)
    ours = curate(folder / backend, OURS[backend])
    assert ours[0] == clean
    assert ours[1] == again
    assert sorted(ours[2]) == sorted(ids)
