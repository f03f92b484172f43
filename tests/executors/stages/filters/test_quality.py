from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.executors import stages
from curator_slurm.executors.stages import DocumentFilter

PROSE = "The cat sat on the mat, and the dog had to have that.\nIt was to be a long day of sleep.\n" * 2 + "The end."


@pytest.mark.parametrize(
    ("name", "arguments", "text", "score", "kept"),
    [
        ("WordCountFilter", {"min_words": 2, "max_words": 3}, " a b  c ", 3, True),
        ("WordCountFilter", {}, "a b", 2, False),
        ("MeanWordLengthFilter", {}, "aaa bbbbb", 4, True),
        ("MeanWordLengthFilter", {}, "a b", 1, False),
        ("LongWordFilter", {"max_word_length": 3}, "abcd e", 4, False),
        ("NonAlphaNumericFilter", {}, "abc,.?!\n1", 0, True),
        ("NonAlphaNumericFilter", {}, "a---", 0.75, False),
        ("SymbolsToWordsFilter", {}, "# ... word ##", 0.5, False),
        ("NumbersFilter", {}, "ab12", 0.5, False),
        ("UrlsFilter", {}, "see http://a.b", 10 / 14, False),
        ("UrlsFilter", {"url_regex": "see"}, "see http://a.b", 3 / 14, False),
        ("WhiteSpaceFilter", {}, "a b\t", 0.5, False),
        ("ParenthesesFilter", {}, "(a)[b]{c}", 6 / 9, False),
        ("CommonEnglishWordsFilter", {}, "the end of the line", 2, True),
        ("CommonEnglishWordsFilter", {"stop_at_false": False}, "the end of the line", 3, True),
        ("WordsWithoutAlphabetsFilter", {}, "a 1 2 3", 0.25, False),
        ("PornographicUrlsFilter", {}, "see https://a.b/porn", 1, False),
        ("PornographicUrlsFilter", {}, "porn, see https://a.b/", 0, True),
        ("PornographicUrlsFilter", {"url_regex": "ftp:.*"}, "see ftp://porn", 1, False),
        ("SubstringFilter", {"substring": "x", "position": "prefix"}, "xy", 1, True),
        ("SubstringFilter", {"substring": "x", "position": "suffix"}, "xy", 0, False),
        ("SubstringFilter", {"substring": "x", "position": "any"}, "axy", 1, True),
    ],
)
def test_scores(name: str, arguments: dict[str, Any], text: str, score: float, kept: bool) -> None:
    quality = getattr(stages, name)(**arguments)
    assert quality.score_document(text) == pytest.approx(score)
    assert quality.keep_document(quality.score_document(text)) is kept


FILTERS = [
    getattr(stages, name)() for name in stages.__all__ if name.endswith("Filter") and name not in (
        "DocumentFilter", "SubstringFilter", "Filter", "ScoreFilter"
    )
]  # fmt: skip


@pytest.mark.parametrize("quality", FILTERS, ids=lambda quality: quality.name)
def test_no_filter_stumbles_over_an_empty_document_or_keeps_it(quality: DocumentFilter) -> None:
    for text in ("", " \n\t"):
        kept = quality.keep_document(quality.score_document(text))
        assert not kept or text or quality.name == "PornographicUrlsFilter"


@pytest.mark.parametrize("quality", FILTERS, ids=lambda quality: quality.name)
def test_names_are_different_and_filters_travel(quality: DocumentFilter) -> None:
    assert [other.name for other in FILTERS].count(quality.name) == 1
    again = pickle.loads(pickle.dumps(quality))
    assert again.score_document(PROSE) == quality.score_document(PROSE)


@given(st.text())
def test_any_text_has_a_score(text: str) -> None:
    for quality in FILTERS:
        assert quality.keep_document(quality.score_document(text)) in (True, False)


NUMBERS = [
    (stages.WordCountFilter, "min_words"),
    (stages.WordCountFilter, "max_words"),
    (stages.MeanWordLengthFilter, "max_mean_word_length"),
    (stages.LongWordFilter, "max_word_length"),
    (stages.NonAlphaNumericFilter, "max_non_alpha_numeric_to_text_ratio"),
    (stages.CommonEnglishWordsFilter, "min_num_common_words"),
    (stages.WordsWithoutAlphabetsFilter, "min_words_with_alphabets"),
    (stages.BulletsFilter, "max_bullet_lines_ratio"),
    (stages.BoilerPlateStringFilter, "max_boilerplate_string_ratio"),
    (stages.RepeatedLinesFilter, "max_repeated_line_fraction"),
    (stages.RepeatingTopNGramsFilter, "max_repeating_ngram_ratio"),
    (stages.RepeatingTopNGramsFilter, "n"),
]


@pytest.mark.parametrize(("filter_class", "name"), NUMBERS)
@pytest.mark.parametrize("value", ["5", None, [5], float("nan"), True])
def test_a_limit_that_is_no_number_is_told_when_the_filter_is_made(filter_class: Any, name: str, value: Any) -> None:
    """A number in quotes was a TypeError of the first document, on the cluster."""
    if name == "n" and value is True:
        return
    with pytest.raises(ValueError, match="must be"):
        filter_class(**{name: value})


def test_limits_between_which_there_is_nothing() -> None:
    with pytest.raises(ValueError, match="min_words=5 is above max_words=1: no document would be kept"):
        stages.WordCountFilter(min_words=5, max_words=1)
    stages.WordCountFilter(min_words=5, max_words=5)


@pytest.mark.parametrize("lang", ["", None, 5])
def test_a_language_that_is_none(lang: Any) -> None:
    with pytest.raises(ValueError, match="is not the code of a language"):
        stages.WordCountFilter(lang=lang)
