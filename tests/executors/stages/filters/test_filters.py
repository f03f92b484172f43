from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest
from stage_loop import batch, rows

from curator_slurm.executors import DocumentBatch
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.stages import (
    AddId,
    DocumentFilter,
    DocumentModifier,
    DocumentStatistics,
    Filter,
    FilterStage,
    MapStage,
    Modify,
    NewlineNormalizer,
    Score,
    ScoreFilter,
    WordCountFilter,
)
from curator_slurm.executors.stages.columns import values_of
from curator_slurm.executors.stages.statistics import DROPPED
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, StageError

TEXTS = ["one", "one two", "", None, "one two three"]


class AtLeast(DocumentFilter):
    """Keeps texts of so many characters; wants a model."""

    def __init__(self, least: int = 4) -> None:
        super().__init__()
        self.least = least
        self.loaded: list[str] = []

    def model_check_or_download(self) -> None:
        self.loaded.append("node")

    def load_model(self) -> None:
        self.loaded.append("worker")

    def score_document(self, text: str) -> int:
        return len(text)

    def keep_document(self, score: int) -> bool:
        return score >= self.least


class Shout(DocumentModifier):
    """Upper case."""

    def modify_document(self, value: str | None) -> str | None:
        return value and value.upper()


def is_long(value: Any) -> bool:
    return len(value or "") > 3


def length(value: Any) -> int | None:
    return None if value is None else len(value)


def joined(a: str, b: str) -> str:
    return f"{a}-{b}"


def twice(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [document, {**document, "copy": True}]


def texts(task: Any) -> list[Any]:
    return [row["text"] for row in rows([task])]


@pytest.fixture(params=["frame", "table"])
def task(request: pytest.FixtureRequest) -> Any:
    if request.param == "table":
        return batch(pa.table({"text": TEXTS, "n": range(5)}))
    return batch({"text": TEXTS, "n": list(range(5))})


def test_score_filter_drops_keeps_scores_and_counts(task: Any) -> None:
    stage = ScoreFilter([WordCountFilter(1, 2), AtLeast(4)], score_field=["words", None])
    result = stage.process(task)
    assert rows([result]) == [{"text": "one two", "n": 1, "words": 2}]
    assert result._metadata == {"dropped": {"word_count": 3, "AtLeast": 1}}
    assert texts(task) == TEXTS
    assert task._metadata == {}
    assert stage.name == "score_filter_chain_of_word_count_AtLeast"


def test_invert_keeps_what_would_go(task: Any) -> None:
    assert texts(ScoreFilter(WordCountFilter(1, 2), invert=True).process(task)) == ["", None, "one two three"]


def test_score_and_filter_with_functions(task: Any) -> None:
    scored = Score(length, "size").process(task)
    assert [row["size"] for row in rows([scored])] == [3, 7, 0, None, 13]
    assert texts(Filter(is_long, "text").process(scored)) == ["one two", "one two three"]
    assert texts(Filter(is_long, "text", invert=True).process(scored)) == ["one", "", None]
    assert Filter(is_long, "text").process(scored)._metadata == {"dropped": {"is_long": 3}}


def test_chains_see_what_came_before(task: Any) -> None:
    stage = Score([length, str], ["size", "label"], text_field=["text", "size"])
    assert stage.inputs() == (["data"], ["text"])
    assert [row["label"] for row in rows([stage.process(task)])] == ["3", "7", "0", "None", "13"]


def test_modify(task: Any) -> None:
    assert texts(Modify(Shout()).process(task)) == ["ONE", "ONE TWO", "", None, "ONE TWO THREE"]
    stage = Modify([length, joined], [["text"], ["text", "n"]][:1] * 2, ["size", None])
    assert stage.outputs() == (["data"], ["size", "text"])


def test_modify_of_several_fields() -> None:
    task = batch({"a": ["x", "y"], "b": ["1", "2"]})
    assert rows([Modify(joined, [["a", "b"]], "c").process(task)])[1] == {"a": "y", "b": "2", "c": "y-2"}
    with pytest.raises(ValueError, match="output_fields"):
        Modify(joined, [["a", "b"]])


def test_functions_by_name_as_in_yaml(task: Any) -> None:
    words = {"use": "curator_slurm.executors.stages:WordCountFilter", "with": {"min_words": 2}}
    assert texts(ScoreFilter([words]).process(task)) == ["one two", "one two three"]
    assert rows([Modify("builtins:len", "text", "size").process(batch({"text": ["abc"]}))])[0]["size"] == 3
    for name in ("nothing", "no.such.module:x", "builtins:no_such"):
        with pytest.raises(ValueError, match=name):
            Modify(name)
    with pytest.raises(ValueError, match="use: module"):
        ScoreFilter({"class": "x"})


def test_models_are_loaded_once_per_node_and_worker() -> None:
    model = AtLeast()
    stage = ScoreFilter(model)
    stage.setup_on_node()
    stage.setup()
    assert model.loaded == ["node", "worker"]
    assert stage.ray_stage_spec()["is_actor_stage"] is True
    assert ScoreFilter(WordCountFilter()).ray_stage_spec()["is_actor_stage"] is False


def test_a_batch_without_rows_passes(task: Any) -> None:
    empty = ScoreFilter(WordCountFilter(100)).process(task)
    assert empty is not None
    assert empty.num_items == 0
    assert empty.get_columns() == ["text", "n"]
    for stage in (ScoreFilter(WordCountFilter()), Score(length, "s"), Modify(Shout()), AddId("id"), FilterStage(bool)):
        assert stage.process(empty).num_items == 0


def test_add_id(task: Any) -> None:
    stage = AddId("id", id_prefix="web")
    result = stage.process(task)
    assert [row["id"] for row in rows([result])] == [f"web_0_a_0_{n}" for n in range(5)]
    with pytest.raises(ValueError, match="overwrite"):
        stage.process(result)
    assert AddId("id", overwrite=True).process(result).num_items == 5


def test_map_documents(task: Any) -> None:
    result = rows([MapStage(twice, columns=["n"]).process(task)])
    assert result[:2] == [{"n": 0, "copy": None}, {"n": 0, "copy": True}]
    assert len(result) == 10
    assert MapStage(lambda document: None, name="nothing").process(task).num_items == 0
    with pytest.raises(TypeError, match="returned a int"):
        MapStage(lambda document: 1, name="wrong").process(task)


def test_map_batches(task: Any) -> None:
    assert texts(MapStage(lambda frame: frame.head(2), per="batch", name="head").process(task)) == TEXTS[:2]
    table = MapStage(lambda table: table.slice(3), per="batch", as_type="arrow", name="tail").process(task)
    assert texts(table) == TEXTS[3:]


def test_filter_documents_and_batches(task: Any) -> None:
    assert texts(FilterStage(lambda document: document["n"] > 2, name="big").process(task)) == TEXTS[3:]
    by_batch = FilterStage(lambda frame: frame["n"] > 2, per="batch", columns=["n"], name="big")
    assert texts(by_batch.process(task)) == TEXTS[3:]
    with pytest.raises(ValueError, match="1 flag for 5"):
        FilterStage(lambda frame: [True], per="batch", name="short").process(task)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScoreFilter([]),
        lambda: ScoreFilter(len),
        lambda: ScoreFilter([WordCountFilter(), AtLeast()], score_field="same"),
        lambda: Score([len, len], "one"),
        lambda: Filter([len, len, len], ["a", "b"]),
        lambda: MapStage(twice, per="row"),
        lambda: MapStage(twice, as_type="polars"),
        lambda: MapStage("builtins:__doc__"),
        lambda: Modify(3),
    ],
)
def test_wrong_arguments(make: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        make()


def test_stages_travel() -> None:
    for stage in (ScoreFilter(WordCountFilter()), Modify(Shout()), Score(length, "s"), MapStage(twice), AddId("id")):
        assert pickle.loads(pickle.dumps(stage)).name == stage.name


def test_a_missing_column_is_named(task: Any) -> None:
    with pytest.raises(ValueError, match=r"column 'body' not found; the batch has \['text', 'n'\]"):
        ScoreFilter(WordCountFilter(), text_field="body").process(task)


@pytest.mark.parametrize("stage", [ScoreFilter(AtLeast(), verbose=True), Filter(bool, "text", verbose=True)])
def test_verbose_stages_log_how_many_rows_are_kept(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    stage.process(batch({"text": TEXTS}, "0_a_7"))
    stage.process(batch({"text": []}))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"{stage.name}: batch 0_a_7: {2 if 'Least' in stage.name else 3} of 5 rows kept"


def test_a_batch_without_data_is_an_empty_table() -> None:
    empty = DocumentBatch("x")
    assert (empty.num_items, empty.get_columns(), type(empty.data)) == (0, [], pa.Table)


# Values that are no texts

STAGES: list[Any] = [
    ScoreFilter(WordCountFilter(min_words=1)),
    ScoreFilter(WordCountFilter(min_words=1), score_field="words"),
    Score(WordCountFilter(), score_field="words"),
    Modify(NewlineNormalizer()),
    DocumentStatistics(),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)
@pytest.mark.parametrize("value", [5, ["x"], {"a": 1}, 0.5])
def test_a_value_that_is_no_text_costs_its_row(stage: Any, value: Any) -> None:
    """It cost all documents of its file, with AttributeError: 'int' object has no attribute 'strip'."""
    given = batch({"text": ["a b", value, "c"], "id": [1, 2, 3]})
    given._metadata["source_files"] = ["/in/a.jsonl"]
    (left,), report = StageAdapter(stage, FailurePolicy(OnTaskError.SKIP)).process([given])
    assert values_of(left.data, "id") == [1, 3]
    assert [(record.file, record.rows) for _, record in report.rows_left_out] == [("/in/a.jsonl", 1)]
    assert not left._metadata.get(DROPPED)
    with pytest.raises(StageError, match=r"of /in/a\.jsonl, row 2, column 'text': failed at .*, which is no text"):
        StageAdapter(stage, FailurePolicy(OnTaskError.FAIL)).process([given])


def test_an_error_on_a_text_is_that_of_the_stage() -> None:
    def fails(text: str) -> float:
        raise ValueError(f"no model for {text}")

    (record,) = (
        StageAdapter(Score(fails, score_field="s"), FailurePolicy(OnTaskError.SKIP))
        .process([batch({"text": ["a", "b"]})])[1]
        .failures
    )
    assert "no model for a" in record.error


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    """The message was the head of the batch itself, cut at its first line."""
    given = batch({"content": ["a b"], "id": [1]})
    given._metadata["source_files"] = ["/in/a.jsonl"]
    words = r"of /in/a\.jsonl lacks 'text', which stage 'word_count' needs; its columns are 'content', 'id'"
    with pytest.raises(StageError, match=words):
        StageAdapter(ScoreFilter(WordCountFilter()), FailurePolicy(OnTaskError.FAIL)).process([given])
    with pytest.raises(ValueError, match=words):
        ScoreFilter(WordCountFilter()).process_batch([given])
