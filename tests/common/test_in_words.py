"""Numbers in words."""

from __future__ import annotations

import pytest

from curator_slurm.common.in_words import all_of, are, several


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 nodes are"),
        (1, "1 node is"),
        (2, "2 nodes are"),
        (1200, "1,200 nodes are"),
        (1.0, "1 node is"),
        (0.25, "0.25 nodes are"),
        (2.5, "2.5 nodes are"),
    ],
)
def test_one_is_singular(number: float, words: str) -> None:
    assert f"{several(number, 'node')} {are(number)}" == words


def test_all_of_one_is_the_only_one() -> None:
    assert (all_of(1, "task"), all_of(12, "task")) == ("the only task", "all 12 tasks")
