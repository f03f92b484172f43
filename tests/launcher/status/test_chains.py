"""Which job of a chain counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import RESTART, Submission, SubmissionRecord
from curator_slurm.launcher.states import SlurmState
from curator_slurm.launcher.status.chains import chain_of, without_other_links
from curator_slurm.launcher.status.facts import ElementFacts
from curator_slurm.launcher.status.gather import places_of

RUN = RunPaths(Path("/runs/demo/20261130-010203-abcd"))
STATES = {
    "P": SlurmState.PENDING,
    "R": SlurmState.RUNNING,
    "F": SlurmState.FAILED,
    "C": SlurmState.COMPLETED,
    "X": SlurmState.CANCELLED,
}


def submission(number: int, job_id: str | None, link_of: int | None = None, **more: object) -> Submission:
    purpose = "submit" if link_of is None else RESTART
    record = SubmissionRecord(
        number=number, purpose=purpose, prepared=1.0, comment="", elements=2, shards=2, array="0-1", job_id=job_id,
        link_of=link_of, **more,
    )  # type: ignore[arg-type] # fmt: skip
    return Submission(RUN.submission(number), record, (Element(0, (0,)), Element(1, (1,))))


CHAIN = [submission(0, "10"), submission(1, "11", 0), submission(2, "12", 0)]


def where(states: dict[str, str], begun: list[str] | None = None) -> list[str]:
    """The element that is at each of two shards."""
    elements = {name: ElementFacts(STATES[state]) for name, state in states.items()}
    places = places_of(CHAIN, elements, begun or [])
    return [places[0].element_id, places[1].element_id]


@pytest.mark.parametrize(
    ("states", "begun", "expected"),
    [
        ({"10_0": "P", "10_1": "P", "11_0": "P", "11_1": "P"}, [], ["10_0", "10_1"]),
        ({"10_0": "R", "10_1": "P", "11_0": "P", "11_1": "P"}, ["10_0"], ["10_0", "10_1"]),
        ({"10_0": "F", "10_1": "R", "11_0": "P", "11_1": "P"}, ["10_0", "10_1"], ["11_0", "10_1"]),
        ({"10_0": "F", "11_0": "R", "12_0": "P", "11_1": "F", "12_1": "P"}, ["10_0", "11_0"], ["11_0", "12_1"]),
        ({"10_0": "F", "11_0": "F", "12_0": "X"}, ["10_0", "11_0", "10_1"], ["11_0", "10_1"]),
        ({}, ["10_0", "11_0"], ["11_0", "10_1"]),
        ({}, [], ["10_0", "10_1"]),
    ],
)
def test_each_element_is_where_its_work_is(states: dict[str, str], begun: list[str], expected: list[str]) -> None:
    assert where(states, begun) == expected


def test_submissions_of_no_chain_count_as_ever() -> None:
    others = [submission(0, "10"), submission(1, "11")]
    assert [sorted(left_out) for _, left_out in without_other_links(others, {}, [])] == [[], []]


def test_a_retry_after_a_chain_counts_more_than_all_of_it() -> None:
    places = places_of([*CHAIN, submission(3, "20"), submission(4, "21", 3)], {"20_0": ElementFacts(STATES["P"])}, [])
    assert places[0].element_id == "20_0"


def test_links_that_slurm_refused_are_none() -> None:
    chain = [CHAIN[0], submission(1, "11", 0), submission(2, None, 0, refused="no room")]
    assert [each.record.number for each in chain_of(chain, chain[1])] == [0, 1]
    places = places_of(chain, {"11_0": ElementFacts(STATES["P"])}, ["10_0"])
    assert places[0].element_id == "11_0"
