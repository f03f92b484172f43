"""Fields of records are of the type that their class says, and in range."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from curator_slurm.common.json_fields import MOST, checked


@dataclass
class Record:
    count: int
    name: str
    time: float | None = None


@pytest.mark.parametrize("value", [MOST + 1, -MOST - 1, 10**400, True, "1", None, [1], float("nan")])
def test_a_count_that_is_none(value: object) -> None:
    with pytest.raises(ValueError, match="`count` must be"):
        checked(Record, {"count": value, "name": "x"})


def test_fields_of_their_type_are_taken_and_those_of_a_later_version_ignored() -> None:
    record = {"count": MOST, "name": "x", "time": None, "later": 1}
    assert checked(Record, record) == {"count": MOST, "name": "x", "time": None}
    with pytest.raises(ValueError, match="`name` must be a string; found 7"):
        checked(Record, record | {"name": 7})


def test_a_text_can_be_part_of_a_path() -> None:
    """A job id with half a surrogate pair, in a damaged record, made `retry` end as by a bug."""
    assert checked(Record, {"name": "a\ud83d"})["name"] == "a\ufffd"
    assert checked(Record, {"name": "a\udcff"})["name"] == "a\udcff"  # a name of a file that is not UTF-8
