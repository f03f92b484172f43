"""What the files of a run say while Slurm has not answered yet: a controller that is away delays nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer
from curator_slurm.launcher.status.gather import TROUBLE, Gathered, collect_facts
from curator_slurm.launcher.status.run_decision import RunStatus

_Answer = TypeVar("_Answer")
AT_ONCE_S = 2.0
"""Slurm mostly answers sooner; later, what the files say is shown first."""
NO_ANSWER_YET = SlurmAnswer(error="Slurm has not answered yet.")


def with_patience(ask: Callable[[], _Answer], meanwhile: Callable[[], object], after_s: float = AT_ONCE_S) -> _Answer:
    """The answer of `ask`; `meanwhile` is called once where it takes longer than `after_s`."""
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(after_s)
    if thread.is_alive():
        meanwhile()
        thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def from_files(run: Run) -> tuple[Gathered, RunStatus] | None:
    """The facts in the files alone, and what they prove; None where they cannot be read."""
    try:
        gathered = collect_facts(run, read_submissions(run.paths), NO_ANSWER_YET)
        return gathered, gathered.decide()
    except TROUBLE:
        return None
