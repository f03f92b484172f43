"""Whether the head is lost, judged on a worker by more than one sign.

Silence of the heartbeat alone proves little: storage that takes no writes is silent too. So Ray is asked, whose control
service is on the head and answers over the network. Where there is no Ray to ask, this node writes itself: storage that
stalls keeps it waiting, and a wait counts for no silence.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.heartbeat import HeartbeatReader
from curator_slurm.launcher.agent.interfaces import host_of
from curator_slurm.launcher.agent.ray_probe import GcsProbe
from curator_slurm.launcher.waiting import Patience

ASK_AFTER = 0.3
"""The share of cluster.heartbeat_timeout_s after which Ray is asked."""
ORPHANED_AFTER = 0.15
"""The same, where this node's own Ray has ended."""
_NO_ANSWER = 0.1
"""The share of it for which Ray must have been asked without an answer."""

_CONNECT_S = 3.0
_MOMENT_S = 3.0
_ANSWER_S = 5.0
_ASK_PAUSE_S = 3.0
_ASKS = 3
"""Ray must have been asked so often, at least."""
_MOST_ANSWERS = 20.0
"""Answers of Ray's control service in a second, to all workers of a run."""


def ray_answers(context: AgentContext, address: str) -> bool:
    """Whether Ray's control service answers; a connection alone proves nothing, since the kernel accepts it."""
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((host_of(address), int(address.rpartition(":")[2])), timeout=_CONNECT_S).close()
        return GcsProbe(address, context.credentials).alive_nodes(_ANSWER_S) is not None
    return False


class HeadWatch:
    """Follows the head's heartbeat, and asks Ray where it is silent; `joined` says that this node's Ray is in it."""

    def __init__(
        self,
        context: AgentContext,
        heartbeat: HeartbeatReader,
        ray_answers: Callable[[AgentContext, str], bool] = ray_answers,
    ) -> None:
        self.joined = False
        self.answered = False
        """Ray has answered since the head fell silent."""
        self._context = context
        self._heartbeat = heartbeat
        self._ray_answers = ray_answers
        self._limit_s = float(context.plan.spec.cluster.heartbeat_timeout_s)
        self._no_answer = Patience(math.inf, _CONNECT_S + _ANSWER_S + _ASK_PAUSE_S)
        self._asks = 0
        self._until_asked = Patience(0.0, math.inf)

    def is_lost(self, *, orphaned: bool = False) -> bool:
        """Whether the head must be taken for lost, after a reading of its heartbeat; asks Ray from time to time.

        `orphaned`: this node's Ray has ended. Then Ray's silence for the whole limit is enough, should nothing be read.
        """
        silent, limit = self._heartbeat.silent_s, self._limit_s
        is_silent = silent > limit * (ORPHANED_AFTER if orphaned else ASK_AFTER)
        if not (is_silent or orphaned):
            self._until_asked.limit_s = 0.0
            self._note(answered=False, asks=0)
            return False
        if self._has_ray:
            self._ask()
            if self.answered:
                return False
            enough = limit * _NO_ANSWER if is_silent and self.joined else limit
            if self._asks >= _ASKS and self._no_answer.spent_s > enough:
                return True
        if not is_silent or (self._has_ray and self.joined):
            return False
        self._touch_storage()
        return silent > limit

    def shows_life_after_a_write(self) -> bool:
        """Write to storage, which may take long, and give a head that waited for the same a moment to beat."""
        before = self._heartbeat.signal
        self._touch_storage()
        self._context.stop.wait(_MOMENT_S)
        return self._heartbeat.read() != before

    @property
    def reason(self) -> str:
        """What has been seen of the head, for people."""
        silence = f"no heartbeat for {self._heartbeat.silent_s:.0f} s"
        if not self._has_ray:
            return silence
        return f"{silence}, and no answer from Ray at {self._address}"

    @property
    def _address(self) -> str:
        return str(self._heartbeat.signal.cluster.get("address", ""))

    @property
    def _has_ray(self) -> bool:
        return bool(self._context.plan.spec.cluster.ray and self._address)

    def _ask(self) -> None:
        """Ask at intervals: rarely where it answers, soon again where it does not."""
        if self._until_asked.tick() < self._until_asked.limit_s:
            return
        answered = self._ray_answers(self._context, self._address)
        self._note(answered=answered, asks=0 if answered else self._asks + 1)
        nodes = len(self._context.allocation.nodes)
        self._until_asked.restart()
        self._until_asked.limit_s = min(_ASK_PAUSE_S, self._limit_s / 20)
        if self.answered:
            self._until_asked.limit_s = max(self._until_asked.limit_s, nodes / _MOST_ANSWERS)

    def _note(self, *, answered: bool, asks: int) -> None:
        self.answered, self._asks = answered, asks
        if asks:
            self._no_answer.tick()
        else:
            self._no_answer.restart()

    def _touch_storage(self) -> None:
        """Write where the head writes: it takes as long as storage stalls."""
        try:
            os.utime(self._context.node.status)
        except OSError:
            self._heartbeat.discount()
