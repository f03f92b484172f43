from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.executors import stages

NOTICE = "This page uses cookies, as all pages do."
LONG_NOTICES = [
    "Necessary cookies are absolutely essential for the website to work.",
    "These are termed as non-necessary cookies.",
    "If you stay without changing your cookie settings, you agree to this use. Accept",
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "text", "score", "kept"),
    [
        ("BulletsFilter", ["• one", "  ● two", "three", ""], 2 / 3, True),
        ("BulletsFilter", ["• one", "", "‣ two"], 1.0, False),
        ("PunctuationFilter", ["A line. ", "Another", "A third?", '"A fourth!"', "'", "", ""], 1 / 5, True),
        ("PunctuationFilter", ["A line", "another,"], 1.0, False),
        ("EllipsisFilter", ["So...", "and so… ", "Read More", "read more..", "end.", "(...)", "a", "b"], 5 / 8, False),
        ("EllipsisFilter", ["... so", "and so", "", "b", "on […]"], 1 / 4, True),
        (
            "BoilerPlateStringFilter",
            ["text", "", NOTICE.upper(), "", "", "text", "still text", " ", "more"],
            1 / 4,
            True,
        ),
        ("BoilerPlateStringFilter", ["text", "", "See our Terms of Use"], 1 / 2, False),
        ("BoilerPlateStringFilter", ["text", "", "Lorem Ipsum dolor", "", "text", "", "text"], 1.0, False),
        *[("BoilerPlateStringFilter", [notice], 1.0, False) for notice in LONG_NOTICES],
    ],
)
def test_scores(name: str, text: list[str], score: float, kept: bool, end: str) -> None:
    quality = getattr(stages, name)()
    assert quality.score_document(end.join(text)) == pytest.approx(score)
    assert quality.keep_document(score) is kept


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("BulletsFilter", "max_bullet_lines_ratio"),
        ("PunctuationFilter", "max_num_sentences_without_endmark_ratio"),
        ("EllipsisFilter", "max_num_lines_ending_with_ellipsis_ratio"),
        ("BoilerPlateStringFilter", "max_boilerplate_string_ratio"),
    ],
)
def test_limits(name: str, argument: str) -> None:
    quality = getattr(stages, name)(**{argument: 0.5})
    assert [quality.keep_document(score) for score in (0.4, 0.5, 0.6)] == [True, True, False]


def test_lines_that_the_caller_has_found_already() -> None:
    quality: Any = stages.BulletsFilter()
    quality.sentences = ["• one", "two"]
    assert quality.score_document("not split again") == 0.5
    quality.sentences = []
    assert quality.score_document("not split again") == 1.0
