from __future__ import annotations

import pytest

from curator_slurm.executors import stages

DIFFERENT = [f"Paragraph {number} is its own." for number in range(10)]


@pytest.mark.parametrize(
    ("name", "arguments", "text", "score", "kept"),
    [
        ("RepeatedLinesFilter", {}, "a\na\n\nb\na", 0.5, False),
        ("RepeatedLinesFilter", {}, "a\r\nb\r\na\nc", 0.75, True),
        ("RepeatedLinesByCharFilter", {}, "aaa\naaa\nbb", 5 / 8, False),
        ("RepeatedLinesByCharFilter", {}, "aaa\r\naaa\rbb\n\r\n", 5 / 8, False),
        ("RepeatedParagraphsFilter", {}, "a\n\na\n\nb\n\nc", 0.75, True),
        ("RepeatedParagraphsByCharFilter", {}, "aaa\n\naaa\n\n\nbb", 5 / 8, False),
        ("RepeatedParagraphsByCharFilter", {}, "aaa\n\nbbb\n\n\n\n\n\n\nbb", 1, True),
        ("RepeatingTopNGramsFilter", {}, "a b c a b d a b", 9 / 15, False),
        ("RepeatingTopNGramsFilter", {"n": 3}, "the cat sat, the cat ran", 12 / 24, False),
        ("RepeatingTopNGramsFilter", {"n": 1, "max_repeating_ngram_ratio": 0.5}, "aa b aa cc dd", 4 / 13, True),
        ("RepeatingTopNGramsFilter", {"n": 3}, "too short", 1, False),
        ("RepeatingDuplicateNGramsFilter", {}, "a b c a b d", 3 / 11, False),
        ("RepeatingDuplicateNGramsFilter", {}, "a b c d a b c", 5 / 13, False),
        ("RepeatingDuplicateNGramsFilter", {"n": 3}, "a b c d a b c d", 7 / 15, False),
        ("RepeatingDuplicateNGramsFilter", {"n": 1}, "aa b aa b c", 3 / 11, False),
        ("RepeatingDuplicateNGramsFilter", {"n": 2}, "a b c d e f", 0, True),
        ("RepeatingDuplicateNGramsFilter", {"n": 5}, "too short", 1, False),
    ],
)
def test_scores(name: str, arguments: dict[str, float], text: str, score: float, kept: bool) -> None:
    quality = getattr(stages, name)(**arguments)
    assert quality.score_document(text) == pytest.approx(score)
    assert quality.keep_document(quality.score_document(text)) is kept


@pytest.mark.parametrize("name", ["RepeatedParagraphsFilter", "RepeatedParagraphsByCharFilter"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ends", [2, 3, 4, 7])
def test_blank_lines_are_no_paragraphs(name: str, end: str, ends: int) -> None:
    quality = getattr(stages, name)()
    text = (end * ends).join(DIFFERENT) + end * ends
    assert quality.score_document(text) == 1.0
    assert quality.keep_document(1.0)
    equal = (end * ends).join(DIFFERENT[:1] * 10)
    assert quality.score_document(equal) == pytest.approx(0.1)
    assert not quality.keep_document(0.1)
    assert quality.score_document(DIFFERENT[0] + f"{end} \t{end}" + DIFFERENT[0] + end) == 0.5


def test_of_several_runs_of_words_the_first_counts() -> None:
    quality = stages.RepeatingTopNGramsFilter()
    assert [quality.score_document("a b longer words") for _ in range(20)] == [3 / 16] * 20


def test_names_say_how_many_words() -> None:
    assert stages.RepeatingTopNGramsFilter(3).name == "repeating_top_3grams"
    assert stages.RepeatingDuplicateNGramsFilter(3).name == "repeating_dup_3gram"
    for name in ("RepeatingTopNGramsFilter", "RepeatingDuplicateNGramsFilter"):
        with pytest.raises(ValueError, match="n must be 1 or more, not 0"):
            getattr(stages, name)(0)


def test_parts_of_a_document_that_the_caller_has_split_already() -> None:
    quality = stages.RepeatedLinesFilter()
    quality.sentences = ["a", "a", "b", "c"]
    assert quality.score_document("not split again") == 0.75
    assert stages.RepeatedLinesFilter().sentences is None
    by_paragraph = stages.RepeatedParagraphsFilter()
    by_paragraph.paragraphs = ["a", "a"]
    assert by_paragraph.score_document("not split again") == 0.5
    by_ngram = stages.RepeatingDuplicateNGramsFilter()
    by_ngram.ngrams = [("a", "b"), ("b", "a"), ("a", "b")]
    assert by_ngram.score_document("0123456789") == 0.3
