"""Words of a text, also in languages that put no spaces between them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any


class WordSplitter:
    """Splits text into words: Chinese (`zh`) with jieba, Japanese (`ja`) with MeCab, other languages at white space.

    `lang` is an ISO 639-1 code. Both segmenters are in the extra `languages`; the one that is needed is loaded when a
    process splits its first text, so that a filter can be pickled.

    Raises:
        ImportError: the segmenter is not installed; the message says how to install it.
    """

    def __init__(self, lang: str = "en") -> None:
        self.lang = lang.lower()
        module = _SEGMENTERS.get(self.lang, (None, None))[0]
        if module is not None and importlib.util.find_spec(module) is None:
            raise ImportError(
                f"lang={lang!r} needs {module}, which is not installed: pip install 'curator-slurm[languages]'"
            )

    def __call__(self, text: str) -> list[str]:
        """The words of a text, without the white space around it."""
        stripped = text.strip()
        if self.lang not in _SEGMENTERS:
            return stripped.split()
        return _segmenter(self.lang)(stripped) if stripped else []


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
            f"lang='ja': MeCab cannot load a dictionary ({error}): pip install 'curator-slurm[languages]'"
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
