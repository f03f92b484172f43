"""MinHash and LSH against brute force: n-grams, Jaccard, buckets, components, and planted near-duplicates."""

from __future__ import annotations

import functools
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_loop import LoopExecutor, rows, write_jsonl

from curator_slurm.executors.stages import DocumentStatistics, FuzzyDeduplicationPipeline, JsonlReader, summarize
from curator_slurm.executors.stages.deduplication.connected_components import components, spanning_forest
from curator_slurm.executors.stages.deduplication.lsh import bucket_edges
from curator_slurm.executors.stages.deduplication.minhash import (
    MinHasher,
    band_hashes,
    match_probability,
    normalized,
    threshold,
)
from curator_slurm.executors.stages.deduplication.verification import representatives

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "ru", "te", "sha") for b in ("n", "ster", "pol", "vi", "drum", "x")]


@functools.cache
def grams_of(text: str, size: int) -> set[str]:
    text = normalized(text)
    width = min(size, len(text))
    return {text[start : start + width] for start in range(len(text) - width + 1)}


def jaccard(left: str, right: str, size: int = 24) -> float:
    one, other = grams_of(left, size), grams_of(right, size)
    return len(one & other) / len(one | other)


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 8))
def test_ngrams_are_told_apart_as_strings_are(left: str, right: str, size: int) -> None:
    hasher = MinHasher(1, size)
    one, other = set(hasher.ngrams(left).tolist()), set(hasher.ngrams(right).tolist())
    assert len(one) == len(grams_of(left, size))
    assert len(one & other) == len(grams_of(left, size) & grams_of(right, size))


def edited(words: list[str], share: float, chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) if chance.random() < share else word for word in words)


def test_signatures_agree_as_much_as_texts_do() -> None:
    chance = random.Random(7)
    hasher = MinHasher(1024, 8)
    for share in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0):
        words = chance.choices(WORDS, k=300)
        left, right = " ".join(words), edited(words, share, chance)
        exact = jaccard(left, right, 8)
        agree = float(np.mean(hasher.signature(left) == hasher.signature(right)))
        assert agree == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 1024) ** 0.5 + 1e-9)


def test_signatures_do_not_change() -> None:
    """Files of signatures outlive a process, and workers must agree."""
    assert MinHasher(4, 5, seed=1).signature("The quick brown fox").tolist() == (
        MinHasher(4, 5, seed=1).signature("the  quick\nbrown FOX ").tolist()
    )
    assert MinHasher(4, 5, seed=1).signature("abc").tolist() != MinHasher(4, 5, seed=2).signature("abc").tolist()


def test_a_band_is_equal_where_all_its_numbers_are() -> None:
    signatures = np.array([[1, 2, 3, 4], [1, 2, 4, 3], [2, 1, 3, 4]], np.uint32)
    first, second, third = band_hashes(signatures, 2).tolist()
    assert first[0] == second[0] != third[0]
    assert first[1] == third[1] != second[1]
    assert first[0] != third[0]


def test_the_curve() -> None:
    assert match_probability(1.0, 20, 13) == 1.0
    assert match_probability(0.5, 20, 13) < 0.01
    assert match_probability(threshold(20, 13), 20, 13) == pytest.approx(0.5)


EDGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60)


@settings(deadline=None)
@given(EDGES)
def test_components_are_those_of_a_plain_search(edges: list[tuple[int, int]]) -> None:
    left, right = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    expected: dict[int, int] = {}
    for start in sorted({node for edge in edges for node in edge}):
        open_now = [start]
        while open_now:
            node = open_now.pop()
            if node not in expected:
                expected[node] = start
                open_now += [other for edge in edges if node in edge for other in edge]
    ids, roots = components(left, right)
    assert dict(zip(ids.tolist(), roots.tolist(), strict=True)) == expected
    kept, others = spanning_forest(left, right)
    assert dict(zip(others.tolist(), kept.tolist(), strict=True)) == {k: v for k, v in expected.items() if k != v}


def test_a_long_chain_is_one_component() -> None:
    chain = np.random.default_rng(3).permutation(100_000).astype(np.int64)
    ids, roots = components(chain[:-1], chain[1:])
    assert len(ids) == 100_000
    assert not roots.any()


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30))
def test_buckets_are_connected_through_their_first(hashes: list[int]) -> None:
    left, right = bucket_edges(np.array(hashes, np.uint64), np.arange(len(hashes), dtype=np.int64))
    firsts = {value: hashes.index(value) for value in hashes}
    expected = [(firsts[value], index) for index, value in enumerate(hashes) if firsts[value] != index]
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == sorted(expected)


@pytest.fixture(scope="module")
def planted() -> list[dict[str, Any]]:
    """Documents; of some there are variants, near or not so near, in other files."""
    chance = random.Random(11)
    documents = []
    for number in range(60):
        words = chance.choices(WORDS, k=chance.randint(80, 300))
        documents.append({"id": f"{number}", "text": " ".join(words)})
        for variant, share in enumerate((0.0, 0.002, 0.5)[: number % 4]):
            documents.append({"id": f"{number}.{variant}", "text": edited(words, share, chance).title()})
    chance.shuffle(documents)
    return documents


def deduplicate(documents: list[dict[str, Any]], folder: Path, executor: Any = None, **arguments: Any) -> list[Any]:
    for start in range(0, len(documents), 25):
        write_jsonl(folder / "in" / f"{start:04}.jsonl", documents[start : start + 25])
    reader = JsonlReader(str(folder / "in"), files_per_partition=1)
    pipeline = FuzzyDeduplicationPipeline("fuzzy", reader, [DocumentStatistics()], str(folder / "work"), **arguments)
    return pipeline.run(executor or LoopExecutor()) or []


def test_planted_near_duplicates_are_found_and_nothing_else(planted: list[dict[str, Any]], tmp_path: Path) -> None:
    tasks = deduplicate(planted, tmp_path)
    kept = {row["id"] for row in rows(tasks)}
    pairs = [(one, other, jaccard(one["text"], other["text"])) for one, other in itertools.combinations(planted, 2)]
    near = [(one["id"], other["id"]) for one, other, share in pairs if share >= 0.93]
    assert len(near) > 40
    for one, other in near:
        assert other not in kept, f"{other} is like {one}, which comes first"
    alike = {document["id"] for one, other, share in pairs if share > 0.5 for document in (one, other)}
    dropped = {document["id"] for document in planted} - kept
    assert dropped <= alike
    assert {document["id"] for document in planted} - alike <= kept
    assert summarize(tasks)["dropped_by"] == {"near duplicate": len(dropped)}
    table = pq.read_table(tmp_path / "work" / "near_duplicates.parquet").to_pylist()
    assert len(table) == len(dropped)
    assert all((row["kept_task_id"], row["kept_row"]) != (row["task_id"], row["row"]) for row in table)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["near_duplicates.parquet"]


def test_neither_order_nor_division_of_the_work_changes_the_result(
    planted: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sorted(row["id"] for row in rows(deduplicate(planted, tmp_path / "a")))
    monkeypatch.setattr(FuzzyDeduplicationPipeline, "MERGE_FILES", 3)
    chance = random.Random(5)

    def shuffled(tasks: list[Any]) -> list[Any]:
        chance.shuffle(tasks)
        return tasks

    found = deduplicate(planted, tmp_path / "b", LoopExecutor(shuffled), buckets_per_band=2)
    assert sorted(row["id"] for row in rows(found)) == expected


def test_no_documents_no_text_and_short_texts(tmp_path: Path) -> None:
    (tmp_path / "none" / "in").mkdir(parents=True)
    assert deduplicate([], tmp_path / "none") == []
    texts = ["", " ", None, None, "ab", "AB ", "abc", "\ud83d"]
    documents = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    kept = {row["id"] for row in rows(deduplicate(documents, tmp_path / "few"))}
    assert kept == {"0", "2", "3", "4", "6", "7"}


@pytest.fixture(scope="module")
def chain() -> list[dict[str, Any]]:
    """Nine documents: each shares nine tenths of its n-grams with the next, the first a half with the last."""
    words = random.Random(13).choices(WORDS, k=320)
    return [{"id": str(number), "text": " ".join(words[10 * number : 10 * number + 240])} for number in range(9)]


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, "0"), (0.4, "0"), (0.8, "036"), (0.9, "02468"), (1.0, "012345678")]
)
def test_a_chain_is_cut_where_its_documents_are_no_longer_similar(
    chain: list[dict[str, Any]], limit: float | None, expected: str, tmp_path: Path
) -> None:
    assert jaccard(chain[0]["text"], chain[1]["text"]) > 0.9
    assert jaccard(chain[0]["text"], chain[8]["text"]) < 0.52
    kept = rows(deduplicate(chain, tmp_path, jaccard_threshold=limit))
    assert "".join(sorted(row["id"] for row in kept)) == expected


@pytest.mark.long
def test_with_a_threshold_every_document_that_goes_is_like_the_one_that_stays(
    planted: list[dict[str, Any]], chain: list[dict[str, Any]], tmp_path: Path
) -> None:
    documents = planted[:40] + chain[4:] + planted[40:] + chain[:4] + [{"id": "half", "text": "\ud83d"}] * 2
    tasks = deduplicate(
        documents,
        tmp_path,
        jaccard_threshold=0.8,
        num_bands=40,
        minhashes_per_band=4,
        buckets_per_band=2,
    )
    table = pq.read_table(tmp_path / "work" / "near_duplicates.parquet").to_pylist()
    kept = [row["text"] for row in rows(tasks)]
    gone = [document["text"] for document in documents if document["text"] not in kept]
    assert len(table) == len(documents) - len(kept)
    assert len(gone) > 40
    assert all(max(jaccard(text, other) for other in kept) >= 0.8 for text in gone)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["near_duplicates.parquet"]


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 12), min_size=1), max_size=12), st.sampled_from([0.07, 0.3, 0.5, 0.8, 1.0]))
def test_representatives_are_those_of_comparing_all(sets: list[set[int]], limit: float) -> None:
    expected: list[int] = []
    for number, mine in enumerate(sets):
        near = (
            other
            for other in range(number)
            if expected[other] == other and len(mine & sets[other]) / len(mine | sets[other]) >= limit
        )
        expected.append(next(near, number))
    assert representatives([np.array(sorted(found), np.uint64) for found in sets], limit) == expected


class Changing(LoopExecutor):
    """Changes the input before the last pass."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        result = super().execute(stages, initial_tasks)
        self.file.write_text(json.dumps({"text": "other", "id": "new"}) + "\n")
        return result


def test_input_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    documents = [{"text": "the same text " * 9, "id": str(number)} for number in range(26)]
    with pytest.raises(Exception, match="has changed since the first pass"):
        deduplicate(documents, tmp_path, Changing(tmp_path / "in" / "0025.jsonl"))


@pytest.mark.parametrize("wrong", [{"num_bands": 0}, {"char_ngrams": 0}, {"buckets_per_band": 0}])
def test_arguments_that_make_no_sense_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be 1 or more"):
        FuzzyDeduplicationPipeline("fuzzy", JsonlReader(str(tmp_path)), [], str(tmp_path / "work"), **wrong)


@pytest.mark.parametrize("wrong", [0, -0.1, 1.01, 80])
def test_a_threshold_is_a_share(wrong: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jaccard_threshold must be above 0 and at most 1"):
        FuzzyDeduplicationPipeline("fuzzy", JsonlReader(str(tmp_path)), [], str(tmp_path), jaccard_threshold=wrong)


def test_a_candidate_that_has_gone_is_noticed(tmp_path: Path) -> None:
    documents = [{"text": "the same text " * 9, "id": str(number)} for number in range(50)]
    with pytest.raises(Exception, match=r"row \d+ of task .* has changed since the first pass"):
        deduplicate(documents, tmp_path, Changing(tmp_path / "in" / "0025.jsonl"), jaccard_threshold=0.8)
