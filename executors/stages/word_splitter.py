"""Words of a text, also in languages that put no spaces between them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable
from typing import Any

_PACKAGES = {"zh": "jieba", "ja": "mecab-python3 unidic-lite"}


class WordSplitter:
    """Splits text into words: Chinese (`zh`) with jieba, Japanese (`ja`) with MeCab, other languages at white space.

    `lang` is an ISO 639-1 code, which a script or region may follow (`zh-TW`, `ja_JP`). Both segmenters are in the
    extra `languages`; the one that is needed is loaded when a process splits its first text, so that a filter can be
    pickled. `between` is what stands between two words of a text.

    Raises:
        ImportError: the segmenter is not installed; the message says how to install it.
        ValueError: `lang` is no code of a language.
    """

    def __init__(self, lang: str = "en") -> None:
        self.lang = language_code(lang)
        if self.lang in _UNSEGMENTED:
            warnings.warn(
                f"lang={lang!r}: words are counted between white space, which this language does not put between words",
                stacklevel=2,
            )
        module = _SEGMENTERS.get(self.lang, (None, None))[0]
        if module is not None and importlib.util.find_spec(module) is None:
            raise ImportError(
                f"lang={lang!r} needs {module}, which is not installed: pip install {_PACKAGES[self.lang]}"
            )

    @property
    def between(self) -> str:
        return "" if self.lang in _SEGMENTERS else " "

    def __call__(self, text: str) -> list[str]:
        """The words of a text, without the white space around it."""
        stripped = text.strip()
        if self.lang not in _SEGMENTERS:
            return stripped.split()
        return _segmenter(self.lang)(stripped) if stripped else []


def language_code(lang: str) -> str:
    """The two letters of a language, or three where it has no two, without script and region.

    Raises:
        ValueError: it is a name, or the code of a country; the message suggests what may be meant.
    """
    code = re.split("[-_]", lang.strip().lower())[0] if isinstance(lang, str) else ""
    if code in _MISTAKES or not re.fullmatch("[a-z]{2,3}", code):
        meant = _MISTAKES.get(code)
        hint = f"did you mean {meant!r}?" if meant else "give one such as en, zh or ja"
        raise ValueError(f"lang={lang!r} is not the code of a language (ISO 639-1); {hint}")
    return _LONG_CODES.get(code, code)


@functools.cache
def _segmenter(lang: str) -> Callable[[str], list[str]]:
    """One segmenter for all filters of a process: loading its dictionary takes a second."""
    module, make = _SEGMENTERS[lang]
    return make(importlib.import_module(module))


def _chinese(jieba: Any) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        return list(jieba.cut(text))

    return split


def _japanese(mecab: Any) -> Callable[[str], list[str]]:
    try:
        tagger = mecab.Tagger()
    except RuntimeError as error:
        raise ImportError(
            f"lang='ja': MeCab cannot load a dictionary ({error}): pip install {_PACKAGES['ja']}"
        ) from error

    def split(text: str) -> list[str]:
        """MeCab prints a line for each word, the word before the first tab, and EOS at the end of a sentence."""
        lines = tagger.parse(text).strip().split("\n")
        return [line.split("\t")[0] for line in lines if line and line != "EOS"]

    return split


_SEGMENTERS: dict[str, tuple[str, Callable[[Any], Callable[[str], list[str]]]]] = {
    "zh": ("jieba", _chinese),
    "ja": ("MeCab", _japanese),
}

_LONG_CODES = {"zho": "zh", "chi": "zh", "cmn": "zh", "jpn": "ja"}
_MISTAKES = {"cn": "zh", "chinese": "zh", "jp": "ja", "japanese": "ja", "english": "en"}
_UNSEGMENTED = frozenset({"th", "lo", "km", "my", "bo", "dz", "tha", "lao", "khm", "mya", "bod", "dzo", "yue"})
"""Thai, Lao, Khmer, Burmese, Tibetan, Dzongkha, Cantonese: no spaces between words, and no segmenter here."""
