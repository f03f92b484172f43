"""Words by language. The segmenters are stand-ins here, with the calls of the real ones; tests/interop has those."""

from __future__ import annotations

import importlib.machinery
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from stage_loop import batch

from curator_slurm.executors import stages
from curator_slurm.executors.stages import word_splitter
from curator_slurm.executors.stages.word_splitter import WordSplitter


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    word_splitter._segmenter.cache_clear()
    yield
    word_splitter._segmenter.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def jieba(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "jieba", cut=lambda text: (text[start : start + 2] for start in range(0, len(text), 2)))


class Tagger:
    """Words of two characters, as MeCab prints them."""

    made = 0

    def __init__(self) -> None:
        Tagger.made += 1

    def parse(self, text: str) -> str:
        lines = [f"{text[start : start + 2]}\tnoun,of,two\n" for start in range(0, len(text), 2)]
        return "".join(lines) + "EOS\n"


@pytest.mark.parametrize("lang", ["en", "de", "EN", "pt-BR", "ceb"])
def test_most_languages_put_spaces_between_words(lang: str) -> None:
    assert WordSplitter(lang)(" a b\n\tc  ") == ["a", "b", "c"]


@pytest.mark.parametrize("lang", ["zh", "ZH", "zh-TW", "zho_Hans"])
def test_chinese(lang: str, jieba: None) -> None:
    assert WordSplitter(lang)(" 一二三四五\n") == ["一二", "三四", "五"]
    assert WordSplitter(lang)(" \n") == []


def test_japanese(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "MeCab", Tagger=Tagger)
    splitters = [WordSplitter("ja"), pickle.loads(pickle.dumps(WordSplitter("ja")))]
    before = Tagger.made
    assert [split("EOS三四") for split in splitters] == [["EO", "S三", "四"]] * 2
    assert Tagger.made == before + 1, "one tagger for all filters of a process"


@pytest.mark.parametrize(("lang", "module"), [("zh", "jieba"), ("ja", "MeCab")])
def test_a_segmenter_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, lang: str, module: str) -> None:
    monkeypatch.setattr(word_splitter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"lang='{lang}' needs {module}, .*: pip install (jieba|mecab-python3 .*)$"):
        stages.WordCountFilter(lang=lang)


def test_a_dictionary_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no mecabrc")

    install(monkeypatch, "MeCab", Tagger=fail)
    with pytest.raises(ImportError, match="MeCab cannot load a dictionary"):
        WordSplitter("ja")("一")


@pytest.mark.parametrize(("lang", "hint"), [("chinese", "'zh'"), ("cn", "'zh'"), ("jp", "'ja'"), ("", "such as en")])
def test_what_is_no_language(lang: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"lang='{lang}' is not the code of a language .*{hint}"):
        stages.WordCountFilter(lang=lang)


def test_a_language_without_spaces_and_without_a_segmenter() -> None:
    with pytest.warns(UserWarning, match="lang='th': words are counted between white space"):
        assert stages.WordCountFilter(lang="th").score_document("a b") == 2


@pytest.mark.parametrize(
    ("name", "text", "score"),
    [
        ("WordCountFilter", "一二三四五", 3),
        ("MeanWordLengthFilter", "一二三四五", 5 / 3),
        ("LongWordFilter", "一二三四五", 2),
        ("SymbolsToWordsFilter", "-»一二", 0.5),
        ("WordsWithoutAlphabetsFilter", "一二12", 0.5),
        ("RepeatingTopNGramsFilter", "一二三四五六一二三四", 8 / 10),
        ("RepeatingDuplicateNGramsFilter", "一二三四五六一二三四", 4 / 10),
    ],
)
def test_every_filter_that_counts_words_takes_a_language(name: str, text: str, score: float, jieba: None) -> None:
    quality = pickle.loads(pickle.dumps(getattr(stages, name)(lang="zh")))
    assert quality.score_document(text) == pytest.approx(score)
    assert not quality.keep_document(quality.score_document(""))


def test_statistics_count_the_words_of_a_language(jieba: None) -> None:
    counted = (
        stages.DocumentStatistics(lang="zh").process(batch({"text": ["一二三四五", "六"]}))._metadata["statistics"]
    )
    assert (counted["words"], counted["words_min"], counted["words_max"]) == (4, 1, 3)
