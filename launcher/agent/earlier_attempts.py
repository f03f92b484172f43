"""What an attempt at a shard has to do with earlier ones: it waits for one that still lives, and takes over from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.heartbeat import HeartbeatReader
from curator_slurm.launcher.agent.identity import identity_of
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import is_there
from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.finished_sources import count_finished, count_in, last_finished
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.takeover import discard, is_ours, others_at, read_taken, take_over, taken_over_by
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.waiting import Patience

SILENT_S = 60.0
"""So long the head of an earlier attempt must have been silent, before what it has staged is taken."""
SOON_SILENT_S = 10.0
"""The same where it is expected to end: all is on this machine, a signal has come, or Slurm has restarted its job."""
MOST_S = 180.0
"""The longest wait: an attempt that lives on after it, and does not end, loses what it has staged."""
_LOOK_S = 1.0
_STEP_S = 5.0

RESTART_COUNT = "CURATOR_SLURM_RESTART_COUNT"
"""The variable of the driver that says how many attempts at this shard there were before."""
STATE_DIR = "CURATOR_SLURM_STATE_DIR"
"""That of a command, with a folder that stays over attempts at a shard."""


class EarlierAttempts:
    """Earlier attempts at the shards of one element."""

    def __init__(self, context: AgentContext, events: EventLog) -> None:
        self._context = context
        self._events = events
        own = context.plan.spec.pipeline.checkpoint_path
        self._own_checkpoint = Path(own) if own is not None else None
        self._before = 0

    def take_over(self, attempt: AttemptPaths, shard: Shard) -> None:
        """Make the folder of the attempt, with what an earlier one has finished.

        Raises:
            OSError: the storage refuses.
        """
        self._context.fence.begin(attempt)  # first: one that lives ends then, and is not waited for in vain
        identity = identity_of(self._context.plan, self._context.code, shard)
        if identity and not self._wait(attempt):
            identity = ""  # we are being stopped ourselves
        taken = take_over(attempt, identity)
        self._before = self._count(attempt)
        if taken.of:
            words = f"goes on with what {taken.of} has finished: {taken.sources_before} source partitions"
            self._events.add("attempt_resumed", words, shard=attempt.shard, of=taken.of, sources=taken.sources_before)
        elif taken.anew:
            self._events.add("attempt_anew", f"begins anew: {taken.anew}", shard=attempt.shard)
        if self._context.plan.spec.pipeline.command is not None:
            attempt.state.mkdir(exist_ok=True)

    def _wait(self, attempt: AttemptPaths) -> bool:
        """Wait as long as the head of an earlier attempt lives, and has not ended; False if a signal came."""
        local, ours = self._context.allocation.local, self._context.cluster.heartbeat
        left = {}
        for other in others_at(attempt):
            soon = local or base_of(other.name) == base_of(attempt.name) or is_there(other.cluster.ending)
            left[other.name] = _Head(other, ours, SOON_SILENT_S if soon else SILENT_S)
        patience = Patience(MOST_S, _STEP_S)
        told = False
        while left := {name: head for name, head in left.items() if head.lives()}:
            if not told:
                told = True
                words = f"waits for {', '.join(left)}, whose head still lives"
                self._events.add("attempt_waits", words, shard=attempt.shard)
            if patience.is_over():
                break
            if self._context.stop.wait(_LOOK_S):
                return False
        return not self._context.stop.requested

    def environment(self, attempt: AttemptPaths) -> dict[str, str]:
        """The variables that tell a driver about earlier attempts."""
        found = {RESTART_COUNT: str(len(others_at(attempt)))}
        if self._context.plan.spec.pipeline.command is not None:
            found[STATE_DIR] = str(attempt.state)
        return found

    def kept(self, attempt: AttemptPaths) -> bool:
        """Whether earlier attempts have kept something of what was taken over."""
        return read_taken(attempt).kept

    def before(self, attempt: AttemptPaths) -> int:
        """Source partitions that were finished when the attempt began."""
        return self._before if self._own_checkpoint else read_taken(attempt).sources_before

    def counts(self, attempt: AttemptPaths) -> tuple[int, int]:
        """How many source partitions were finished when the attempt began, and are now."""
        return self.before(attempt), self._count(attempt)

    def _count(self, attempt: AttemptPaths) -> int:
        return count_in(self._own_checkpoint or attempt.checkpoint)

    def last_finished(self, attempt: AttemptPaths) -> float | None:
        """When the last source partition was finished."""
        return last_finished(self._own_checkpoint or attempt.checkpoint)

    def give_up(self, attempt: AttemptPaths, *, keep: bool) -> None:
        """An attempt has failed: what it has staged goes, unless it is to be kept, or another one can go on with it."""
        if not keep and not count_finished(attempt):
            discard(attempt)

    def superseded(self, attempt: AttemptPaths, make: Callable[..., Outcome]) -> Outcome | None:
        """The outcome of an attempt whose work another one has taken over; None where none has."""
        if not (by := taken_over_by(attempt)):
            return None
        words = f"{by} has taken over what this attempt had staged: its head was taken for lost"
        return make(RunState.FAILED, words, 1, FailureClass.SUPERSEDED, next_step=f"nothing is lost: {by} goes on")

    def may_publish(self, attempt: AttemptPaths) -> bool:
        """Whether what is staged is all that the attempt has made; not where that was taken away meanwhile."""
        return is_ours(attempt)


class _Head:
    """The head of another attempt: it lives while its heartbeat goes on, and nothing says how it has ended."""

    def __init__(self, attempt: AttemptPaths, ours: Path, silent_s: float) -> None:
        self._attempt = attempt
        self._silent_s = silent_s
        self._reader = HeartbeatReader(attempt.cluster.heartbeat)
        self._before = _age(attempt.cluster.heartbeat, ours)

    def lives(self) -> bool:
        cluster = self._attempt.cluster
        if is_there(self._attempt.outcome) or is_there(cluster.outcome) or not self._attempt.work.is_dir():
            return False
        last = self._reader.signal.beat
        signal = self._reader.read()
        if last and signal.beat != last:
            self._before = 0.0
        return signal.beat > 0 and not signal.ended and self._before + self._reader.silent_s < self._silent_s


def _age(heartbeat: Path, ours: Path) -> float:
    """How much older one heartbeat is than ours, by the times that the storage has noted."""
    try:
        return max(0.0, ours.stat().st_mtime - heartbeat.stat().st_mtime)
    except OSError:
        return 0.0
