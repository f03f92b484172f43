"""Following a run: its status again and again until it is final, asking Slurm as seldom as will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.decide import AttemptFacts, Decision
from curator_slurm.launcher.status.gather import Jobs, ask_slurm, decide_now, read_attempt
from curator_slurm.launcher.status.shards_gather import is_sharded
from curator_slurm.launcher.status.shards_views import ShardsWatcher

SLURM_INTERVAL_S = 10.0
"""Between two questions to Slurm. Progress comes from files, so this delays only news of the job itself."""
LONG_WAIT_S = 300.0
LONG_WAIT_INTERVAL_S = 30.0
"""Of a job that has been pending for long, news may come later."""


class Watcher:
    """Polls one run; `poll` is cheap enough for every second."""

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self.run = run
        self._clock = clock
        self._began = clock()
        self._asked = float("-inf")
        self._jobs = Jobs()
        self._last: Decision | None = None
        self._shards = ShardsWatcher(SLURM_INTERVAL_S, clock) if is_sharded(run) else None

    def poll(self) -> Decision:
        """The status now, with an answer of Slurm that may be some seconds old."""
        self.run = load_run(self.run.paths.root)
        if self._shards is not None and is_sharded(self.run):
            return self._shards.poll(self.run)
        attempt = read_attempt(self.run.paths)
        if self._is_due(attempt):
            self._jobs = ask_slurm([(self.run, attempt)], details=True)
            self._asked = self._clock()
        self._last = decide_now(self.run, attempt, self._jobs)
        return self._last

    def _is_due(self, attempt: AttemptFacts | None) -> bool:
        if attempt is not None and attempt.outcome is not None:
            return True  # an old answer cannot tell whether this outcome is the last word
        now = self._clock()
        pending = self._last is not None and self._last.state is RunState.PENDING
        interval = LONG_WAIT_INTERVAL_S if pending and now - self._began > LONG_WAIT_S else SLURM_INTERVAL_S
        if pending and now - self._began < SLURM_INTERVAL_S * 3:
            interval = SLURM_INTERVAL_S / 5
        return now - self._asked >= interval

    def follow(self, interval_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[Decision]:
        """The status every `interval_s` seconds; the last one is final."""
        while True:
            decision = self.poll()
            yield decision
            if decision.state.is_final:
                return
            sleep(interval_s)
