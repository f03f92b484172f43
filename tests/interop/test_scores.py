"""Its heuristic filters and modifiers beside ours, on real documents: scores, decisions and texts are the same."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from nemo_curator.stages.text import modifiers as their_modifiers
from nemo_curator.stages.text.filters.heuristic import string
from nemo_curator.stages.text.filters.heuristic.repetition import repetition

from curator_slurm.executors import stages
from curator_slurm.executors.stages import text_parts

ROOT = Path(__file__).parents[2]
THEIRS: dict[str, Any] = {**vars(string), **vars(repetition), **vars(their_modifiers)}
FILTERS = [
    *("BoilerPlateStringFilter", "BulletsFilter", "CommonEnglishWordsFilter", "EllipsisFilter", "LongWordFilter"),
    *("MeanWordLengthFilter", "NonAlphaNumericFilter", "NumbersFilter", "ParenthesesFilter", "PornographicUrlsFilter"),
    *("PunctuationFilter", "RepeatedLinesByCharFilter", "RepeatedLinesFilter", "RepeatedParagraphsByCharFilter"),
    *("RepeatedParagraphsFilter", "SymbolsToWordsFilter", "UrlsFilter", "WhiteSpaceFilter", "WordCountFilter"),
    "WordsWithoutAlphabetsFilter",
]
MODIFIERS = {
    "BoilerPlateStringModifier": {},
    "LineRemover": {"patterns": ["", "#"]},
    "MarkdownRemover": {},
    "NewlineNormalizer": {},
    "QuotationRemover": {},
    "Slicer": {"left": "the", "right": "and"},
    "UrlRemover": {},
}


def documents() -> list[str]:
    """The standard library's sources, this project's pages, and licences and descriptions of installed packages.

    In the form in which both count paragraphs alike: one blank line between two of them, and no carriage returns.
    """
    packages = Path(sysconfig.get_path("purelib"))
    files = [
        *Path(sysconfig.get_path("stdlib")).glob("*.py"),
        *Path(sysconfig.get_path("stdlib"), "asyncio").glob("*.py"),
        *ROOT.glob("docs/**/*.md"),
        *packages.glob("*.dist-info/**/LICENSE*"),
        *packages.glob("*.dist-info/METADATA"),
    ]
    texts = (path.read_bytes()[:50_000].decode("utf-8", "ignore") for path in sorted(files) if path.is_file())
    found = ["\n\n".join(text_parts.paragraphs(text)) for text in texts]
    return [text for text in found if text and text.isascii()]


TEXTS = documents()


def test_there_are_enough() -> None:
    assert len(TEXTS) > 200


@pytest.mark.parametrize("name", FILTERS)
def test_scores(name: str) -> None:
    theirs, ours = THEIRS[name](), getattr(stages, name)()
    for text in TEXTS:
        expected = theirs.score_document(text)
        assert ours.score_document(text) == pytest.approx(expected, abs=1e-12)
        assert bool(ours.keep_document(expected)) is bool(theirs.keep_document(expected))


@pytest.mark.parametrize("n", [2, 5, 10])
def test_scores_of_duplicate_ngrams(n: int) -> None:
    theirs, ours = THEIRS["RepeatingDuplicateNGramsFilter"](n), stages.RepeatingDuplicateNGramsFilter(n)
    assert theirs.name == ours.name
    for text in TEXTS:
        assert ours.score_document(text) == pytest.approx(theirs.score_document(text), abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_scores_of_top_ngrams(n: int) -> None:
    """Where one run of words is more frequent than any other: of several, its filter takes any."""
    theirs, ours = THEIRS["RepeatingTopNGramsFilter"](n), stages.RepeatingTopNGramsFilter(n)
    assert theirs.name == ours.name
    compared = 0
    for text in TEXTS:
        most = Counter(text_parts.ngrams(text.split(), n)).most_common(2)
        if len(most) < 2 or most[0][1] > most[1][1]:
            assert ours.score_document(text) == pytest.approx(theirs.score_document(text), abs=1e-12)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("name", MODIFIERS)
def test_modified_texts(name: str) -> None:
    theirs, ours = THEIRS[name](**MODIFIERS[name]), getattr(stages, name)(**MODIFIERS[name])
    for text in TEXTS:
        assert ours.modify_document(text) == theirs.modify_document(text)


def test_our_recipe_is_its_recipe_for_english() -> None:
    """The same filters with the same limits in the same order."""
    package = importlib.util.find_spec("nemo_curator")
    assert package is not None
    assert package.origin is not None
    published = Path(package.origin).parent / "config" / "text" / "heuristic_filter_english_pipeline.yaml"
    theirs = [stage["filter_obj"] for stage in yaml.safe_load(published.read_text())["stages"] if "filter_obj" in stage]
    spec = yaml.safe_load((ROOT / "examples" / "deduplication" / "recipe.yaml").read_text())
    [ours] = [stage["with"]["filter_obj"] for stage in spec["pipeline"]["stages"] if stage.get("name") == "quality"]
    assert [entry["use"].split(":")[1] for entry in ours] == [entry["_target_"].split(".")[-1] for entry in theirs]
    for mine, their in zip(ours, theirs, strict=True):
        limits = {key: value for key, value in their.items() if key != "_target_"}
        defaults = {"remove_if_at_top_or_bottom": True, "stop_at_false": True}
        assert {**defaults, **mine["with"]}.items() >= limits.items()


def test_all_are_compared() -> None:
    heuristic = {name for name in THEIRS if name.endswith("Filter")} - {"DocumentFilter", "SubstringFilter"}
    assert heuristic == {*FILTERS, "RepeatingTopNGramsFilter", "RepeatingDuplicateNGramsFilter"}
    assert {name for name in THEIRS if name in MODIFIERS} == set(MODIFIERS)
