"""Chains of jobs that were submitted at once (`restart.mechanism: chain`): which of them counts now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from curator_slurm.launcher.runs.submissions import Submission
from curator_slurm.launcher.status.facts import ElementFacts


def chain_of(submissions: Sequence[Submission], one: Submission) -> list[Submission]:
    """The submissions of one's chain that reached Slurm, itself among them, in their order."""
    first = one.record.number if one.record.link_of is None else one.record.link_of
    known = [each for each in submissions if each.record.may_exist and each.record.job_id is not None]
    return [each for each in known if first in (each.record.number, each.record.link_of)]


def without_other_links(
    submissions: Iterable[Submission], elements: Mapping[str, ElementFacts], begun: Collection[str]
) -> list[tuple[Submission, frozenset[int]]]:
    """Each submission, with the elements of it that do not count: of a chain, an element is where its work is.

    That is the first job that has not ended; where none is left, or Slurm does not say, the last that has begun.
    """
    all_of_them = list(submissions)
    others: dict[int, set[int]] = {}
    for first in {each.record.link_of for each in all_of_them} - {None}:
        chain = [
            each
            for each in all_of_them
            if first in (each.record.number, each.record.link_of) and each.record.may_exist and each.record.job_id
        ]
        for element in {each.element for submission in chain for each in submission.elements}:
            ids = [each.record.element_id(element, str(each.record.job_id)) for each in chain]
            current = _current(ids, elements, begun)
            for position, each in enumerate(chain):
                if position != current:
                    others.setdefault(each.record.number, set()).add(element)
    return [(each, frozenset(others.get(each.record.number, ()))) for each in all_of_them]


def _current(ids: Sequence[str], elements: Mapping[str, ElementFacts], begun: Collection[str]) -> int:
    active = [at for at, each in enumerate(ids) if each in elements and not elements[each].state.is_final]
    started = [at for at, each in enumerate(ids) if each in begun]
    return active[0] if active else started[-1] if started else 0
