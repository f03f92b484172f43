"""The recorded facts about NeMo Curator are those of the package that is installed here."""

from __future__ import annotations

import importlib.metadata

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")

import curator_signatures  # noqa: E402
from nemo_curator.stages.text.filters import heuristic  # noqa: E402
from nemo_curator.stages.text.utils.text_utils import get_word_splitter  # noqa: E402

from curator_slurm.executors import stages  # noqa: E402
from curator_slurm.executors.stages.word_splitter import WordSplitter  # noqa: E402

TEXTS = {
    "en": ["", "one two  three\nfour", "«one» two…"],
    "zh": ["我来到北京清华大学", "他来到了网易杭研大厦 and NVIDIA 2024", "小明硕士毕业于中国科学院计算所"],
    "ja": ["すもももももももものうち", "吾輩は猫である。名前はまだ無い。", "EOS は NVIDIA の計算機\n次の行"],
}


def test_the_table_is_up_to_date() -> None:
    assert curator_signatures.TABLE.name == f"nemo_curator_{importlib.metadata.version('nemo-curator')}.json"
    assert curator_signatures.recorded() == curator_signatures.their_facts(), (
        "run: python tests/executors/curator_signatures.py"
    )


@pytest.mark.parametrize("lang", TEXTS)
def test_words_are_those_of_its_splitter(lang: str) -> None:
    theirs = get_word_splitter(lang)
    for text in TEXTS[lang]:
        assert WordSplitter(lang)(text) == (theirs(text.strip()) if text else [])


@pytest.mark.parametrize("lang", TEXTS)
@pytest.mark.parametrize(
    "name",
    ["WordCountFilter", "MeanWordLengthFilter", "LongWordFilter", "WordsWithoutAlphabetsFilter"],
)
def test_filters_that_count_words_score_as_its_own(name: str, lang: str) -> None:
    ours, theirs = getattr(stages, name)(lang=lang), getattr(heuristic, name)(lang=lang)
    for text in filter(None, TEXTS[lang]):
        score = theirs.score_document(text)
        assert ours.score_document(text) == pytest.approx(score)
        assert ours.keep_document(score) == theirs.keep_document(score)
