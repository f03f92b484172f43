"""Reading JSON that somebody may have damaged."""

from __future__ import annotations

import pytest

from curator_slurm.launcher.files import parse_json


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_no_number_is_infinite_or_none(text: str) -> None:
    assert parse_json(f'{{"a": {text}, "b": 1.5}}') == {"a": None, "b": 1.5}


def test_what_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
