"""Following a run: its status again and again until it is final, asking Slurm as seldom as will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer, ask
from curator_slurm.launcher.status.early import AT_ONCE_S, NO_ANSWER_YET, Question
from curator_slurm.launcher.status.gather import TROUBLE, Gathered, Level, collect_facts, conclude, status_of, troubled
from curator_slurm.launcher.status.reports import NodeReader
from curator_slurm.launcher.status.run_decision import RunStatus

SLURM_INTERVAL_S = 10.0
"""Between two questions to Slurm. Progress comes from files, so this delays only what Slurm says of the job itself."""
UNREADABLE_S = 10.0
"""How long the files of a run may be unreadable: storage that was mounted anew is back by then."""
LONG_WAIT_S = 300.0
LONG_WAIT_INTERVAL_S = 30.0
"""What Slurm says of a job that has been pending for long may come later."""


class Watcher:
    """Polls one run; `poll` is cheap enough for every second."""

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic, *, patience_s: float = AT_ONCE_S) -> None:
        """`patience_s` is how long a look waits for Slurm."""
        self.run = run
        self._patience_s = patience_s
        self._clock = clock
        self._began = clock()
        self._asked = float("-inf")
        self._question: Question[tuple[Sequence[Submission], SlurmAnswer]] | None = None
        self._answered: tuple[Sequence[Submission], SlurmAnswer] | None = None
        self._last: RunStatus | None = None
        self._nodes = NodeReader(clock)
        self._unreadable_since: float | None = None
        self.gathered: Gathered | None = None
        """The facts of the last look; None where the run's files cannot be read."""

    def poll(self) -> RunStatus:
        """The status now, with an answer of Slurm that may be some seconds old; a final one with a fresh answer.

        Slurm is waited for no longer than a moment; until it has answered, no status is final.

        Raises:
            StorageError: its files cannot be read from the start; later, they are unknown for as long.
        """
        self.run = load_run(self.run.paths.root)
        self.gathered = None
        if self.run.record is None:
            return self._checked(status_of(self.run))
        try:
            fresh = self._ask()
            status = self._look()
            if status.state.is_final:
                fresh = fresh or self._ask(at_once=True)
                status = self._look(Level.FAILURES) if fresh else _undecided(status)
        except TROUBLE as error:
            status = troubled(error)
        self._last = status
        return self._checked(status)

    def _checked(self, status: RunStatus) -> RunStatus:
        """The status; files that cannot be read for long are an error: nothing will be seen of the run's end."""
        if not status.unreadable:
            self._unreadable_since = None
            return status
        now = self._clock()
        self._unreadable_since = now if self._unreadable_since is None else self._unreadable_since
        if now - self._unreadable_since >= UNREADABLE_S:
            raise StorageError(status.message)
        return status

    def _ask(self, *, at_once: bool = False) -> bool:
        """Whether Slurm has answered anew: it is asked where that is due, or `at_once`."""
        patience_s = 0.0
        if self._question is None:
            if not (at_once or self._is_due()):
                return False
            self._question, patience_s = Question(partial(ask, self.run, shares=not at_once)), self._patience_s
        if not self._question.is_answered(patience_s):
            return False
        question, self._question = self._question, None
        self._answered = question.answer()
        self._asked = self._clock()
        return not self._answered[1].is_shared

    def _look(self, level: Level = Level.STATE) -> RunStatus:
        submissions, answer = self._answered or (read_submissions(self.run.paths), NO_ANSWER_YET)
        nodes = self._nodes if level is Level.STATE else None
        self.gathered = collect_facts(self.run, submissions, answer, level, nodes=nodes)
        return self.gathered.decide() if level is Level.STATE else conclude(self.run, self.gathered)

    def _is_due(self) -> bool:
        now = self._clock()
        pending = self._last is not None and self._last.state is RunState.PENDING
        interval = LONG_WAIT_INTERVAL_S if pending and now - self._began > LONG_WAIT_S else SLURM_INTERVAL_S
        if pending and now - self._began < SLURM_INTERVAL_S * 3:
            interval = SLURM_INTERVAL_S / 5
        return now - self._asked >= interval

    def follow(self, interval_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[RunStatus]:
        """The status every `interval_s` seconds; the last one is final."""
        while True:
            status = self.poll()
            yield status
            if status.state.is_final:
                return
            sleep(interval_s)


def _undecided(status: RunStatus) -> RunStatus:
    """What the files prove, while Slurm has not confirmed it."""
    message = f"By its files, this run has ended ({status.state}); Slurm has not answered yet."
    return replace(status, state=RunState.UNKNOWN, message=message)
