"""The form of a text in which it is compared, where equal need not mean the same bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

Normalization = bool | str | Sequence[str]
"""True, False, or the names of steps."""

_FORMS: tuple[Literal["NFC"], Literal["NFKC"]] = ("NFC", "NFKC")
STEPS = ("case", "white_space", *_FORMS)


def text_form(normalize_text: Normalization) -> Callable[[str], str]:
    """A function that normalizes a text.

    The steps are `case` (upper and lower case are one), `white_space` (any run of it is one blank, none at the ends),
    and a Unicode form: `NFC` (a letter with its accent, in one or two code points) or `NFKC` (ligatures and full-width
    letters, too). True stands for the first two, as in NeMo Curator.

    Raises:
        ValueError: there is no such step.
    """
    steps = _steps(normalize_text)
    form = next((form for form in _FORMS if form in steps), None)

    def normalized(text: str) -> str:
        if form:
            text = unicodedata.normalize(form, text)
        if "case" in steps:
            text = text.casefold()
            if form:
                text = unicodedata.normalize(form, text)
        return " ".join(text.split()) if "white_space" in steps else text

    return normalized


def _steps(given: Normalization) -> tuple[str, ...]:
    if isinstance(given, bool):
        return ("case", "white_space") if given else ()
    steps = (given,) if isinstance(given, str) else tuple(given)
    for step in steps:
        if step not in STEPS:
            raise ValueError(f"normalize_text has no step {step!r}; it is true, false, or some of {', '.join(STEPS)}")
    if len(set(steps) & set(_FORMS)) > 1:
        raise ValueError(f"normalize_text must name one Unicode form, not {' and '.join(_FORMS)}")
    return steps
