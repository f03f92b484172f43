"""What the files of a run say while Slurm has not answered yet: a controller that is away delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer
from curator_slurm.launcher.status.gather import TROUBLE, Gathered, collect_facts, conclude
from curator_slurm.launcher.status.run_decision import RunStatus

_Answer = TypeVar("_Answer")
AT_ONCE_S = 2.0
"""Slurm mostly answers sooner; later, what the files say is shown first."""
NO_ANSWER_YET = SlurmAnswer(error="Slurm has not answered yet.")


class Question(Generic[_Answer]):
    """A call in a thread of its own, for whose answer nobody needs to wait."""

    def __init__(self, ask: Callable[[], _Answer]) -> None:
        self._ask = ask
        self._answers: list[_Answer] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answers.append(self._ask())
        except BaseException as error:
            self._errors.append(error)

    def is_answered(self, within_s: float) -> bool:
        """Whether there is an answer, or an error, at the latest after so many seconds."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def answer(self) -> _Answer:
        """The answer, waited for; raises what the call has raised."""
        self._thread.join()
        if self._errors:
            raise self._errors[0]
        return self._answers[0]


def with_patience(ask: Callable[[], _Answer], meanwhile: Callable[[], object], after_s: float = AT_ONCE_S) -> _Answer:
    """The answer of `ask`; `meanwhile` is called once where it takes longer than `after_s`."""
    question = Question(ask)
    if not question.is_answered(after_s):
        meanwhile()
    return question.answer()


def from_files(run: Run) -> tuple[Gathered, RunStatus] | None:
    """The facts in the files alone, and what they prove; None where they cannot be read."""
    try:
        gathered = collect_facts(run, read_submissions(run.paths), NO_ANSWER_YET)
        return gathered, conclude(run, gathered)
    except TROUBLE:
        return None
