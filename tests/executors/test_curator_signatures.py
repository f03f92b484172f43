"""Our stages keep NeMo Curator's names and arguments, as recorded, but for what is agreed and told in the docs."""

from __future__ import annotations

from typing import Any

import curator_signatures
import pytest

RECORDED = curator_signatures.recorded()
DIFFERENCES = list(curator_signatures.differences(RECORDED["facts"], curator_signatures.our_facts()))


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_every_difference_is_agreed(difference: str) -> None:
    assert curator_signatures.matching(difference)


def test_nothing_is_agreed_that_does_not_differ() -> None:
    matched = [entry["what"] for difference in DIFFERENCES for entry in curator_signatures.matching(difference)]
    assert {entry["what"] for entry in curator_signatures.agreed() if "patterns" in entry} == set(matched)


def test_whatever_has_a_name_of_theirs_is_compared() -> None:
    same = set(curator_signatures.ours()) & set(RECORDED["names"])
    assert same == set(RECORDED["facts"]) - {"ray_stage_spec()", "xenna_stage_spec()"}
    assert {"JsonlReader", "WordCountFilter", "Pipeline", "Resources", "XennaExecutor", "CURATOR_DEDUP_ID_STR"} <= same


def test_the_docs_tell_every_difference() -> None:
    text = curator_signatures.PAGE.read_text(encoding="utf-8")
    assert curator_signatures.MARK.search(text)
    assert curator_signatures.page(text) == text, "run: python tests/executors/curator_signatures.py"


THEIRS: dict[str, Any] = {
    "A": {"parameters": "(a, b=1, *, c='x')", "methods": {"run": "(_task, more=None)", "name": "property"}},
    "B": {"parameters": "()", "config": ["x", "y"]},
    "C": {"value": "'c'"},
    "spec()": ["k", "l"],
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"A": {"parameters": "(a, b=1, *, c='x', d=2)"}}, ["A(d): only here"]),
        ({"A": {"parameters": "(a, b=2, *, c)"}}, [
            "A(b): default 2 here, 1 there", "A(c): default required here, 'x' there",
        ]),
        ({"A": {"parameters": "(b=1, a=0, c='x')"}}, [
            "A(a): in another place", "A(a): default 0 here, required there", "A(b): in another place",
            "A(c): given by position or name here, by name there",
        ]),
        ({"A": {"parameters": "(b=1, *, c='x')"}}, [
            "A(a): not here", "A(b): in another place",
        ]),
        ({"A": {"methods": {"run": "(work, more=None)", "name": "()"}}}, ["A.name: not here"]),
        ({"A": {"methods": {"run": "(more=None)", "name": "property"}}}, [
            "A.run(_task): default None here, required there", "A.run(more): in another place",
        ]),
        ({"A": {"methods": {"name": "property"}}}, ["A.run: not here"]),
        ({"B": {"config": ["y", "z"]}}, ["B config x: not here"]),
        ({"C": {"value": "'d'"}}, ["C: 'd' here, 'c' there"]),
        ({"spec()": ["l"]}, ["spec() k: not here"]),
    ],
)  # fmt: skip
def test_what_counts_as_a_difference(change: dict[str, Any], expected: list[str]) -> None:
    own = {
        name: {**facts, **change.get(name, {})} if isinstance(facts, dict) else change.get(name, facts)
        for name, facts in THEIRS.items()
    }
    assert list(curator_signatures.differences(THEIRS, own)) == expected
