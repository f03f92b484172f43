"""Sets of numbers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.launcher.ranges import format_numbers, parse_numbers, some_numbers, whole_number


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3", [3]),
        ("3,7-9", [3, 7, 8, 9]),
        ("9,7-8,7", [7, 8, 9]),
        ("0-20:5", [0, 5, 10, 15, 20]),
        ("[1-3%2]", [1, 2, 3]),
    ],
)
def test_reading(text: str, numbers: list[int]) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "3..4", "1,,2", "1.5", "3\n4", "\u0663"])
def test_what_is_no_list_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="3,7-9"):
        parse_numbers(text)


def test_a_range_that_ends_too_early() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        parse_numbers("9-7")


@given(st.sets(st.integers(min_value=0, max_value=500), min_size=1))
def test_what_is_written_is_read_back(numbers: set[int]) -> None:
    assert parse_numbers(format_numbers(numbers)) == sorted(numbers)


def test_long_lists_are_cut_at_a_comma() -> None:
    assert some_numbers(range(5)) == "0-4"
    assert some_numbers(range(0, 100, 2), limit=10) == "0,2,4,6,8,..."


NO_NUMBERS = ["", "-1", " 1", "1\n", "1_0", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "9" * 5000]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_whole_number(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("18446744073709551615", 2**64 - 1)])
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["\N{SUPERSCRIPT TWO}", "1-\N{ARABIC-INDIC DIGIT THREE}", "9" * 5000])
def test_digits_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of numbers"):
        parse_numbers(text)


@pytest.mark.parametrize("text", ["1-99999999999", "0-9999999,10000000-10000001"])
def test_a_list_has_a_limit(text: str) -> None:
    with pytest.raises(ValueError, match="more than 10,000,000"):
        parse_numbers(text)


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        parse_numbers("9" * 100_000)
