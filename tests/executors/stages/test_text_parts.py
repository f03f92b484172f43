from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.executors.stages import text_parts


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_and_paragraphs_whatever_ends_a_line(end: str) -> None:
    text = f"one{end}two{end}{end}three {end} \t{end}four{end}{end}{end}{end}five{end}"
    assert text_parts.lines(text) == ["one", "two", "three ", "four", "five"]
    assert text_parts.paragraphs(text) == ["one\ntwo", "three ", "four", "five"]
    assert text_parts.line_count(text) == 10
    assert text_parts.line_count(text + "six") == 11


def test_ends_of_lines_may_be_mixed() -> None:
    assert text_parts.paragraphs("one\r\n\ntwo\r\n\r\nthree\n\r\nfour\nfour again\r\nand again") == [
        "one", "two", "three", "four\nfour again\nand again"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t\r\n", "\u00a0\n\f"])
def test_white_space_alone_has_neither(text: str) -> None:
    assert text_parts.lines(text) == text_parts.paragraphs(text) == text_parts.paragraph_spans(text) == []


@given(st.text("ab \n\r"))
def test_paragraphs_are_what_stands_between_blank_lines(text: str) -> None:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    expected, run = [], []
    for line in [*plain.split("\n"), ""]:
        if line.strip():
            run.append(line)
        elif run:
            expected.append("\n".join(run))
            run = []
    assert text_parts.paragraphs(text) == expected
    assert [text[start:end].replace("\r\n", "\n").replace("\r", "\n") for start, end in
            text_parts.paragraph_spans(text)] == expected  # fmt: skip
    assert text_parts.lines(text) == [line for line in plain.split("\n") if line.strip()]
    assert text_parts.line_count(text) == len(plain.split("\n")) - (plain.endswith("\n") or not plain)


def test_ngrams() -> None:
    assert text_parts.ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert text_parts.ngrams(["a"], 2) == []
