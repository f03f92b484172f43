"""When a worker leaves: when the head says that it is over, or Slurm ends the job and the head does not drain."""

from __future__ import annotations

import signal
import time

from curator_slurm.common.json_fields import number
from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.heartbeat import DRAIN_S, HeartbeatReader

_WORD_S = 6.0
"""How long after a signal the head's word is waited for: it asks Slurm first, which has four seconds."""
_QUICK_S = 1.0
"""The pause between two readings then."""
_MORE_S = 2.0
"""How long the head is waited for beyond the time that it has said it needs."""


class Leave:
    """Of one worker. While the head drains, its Ray must stay up, although Slurm has told this node to end."""

    def __init__(self, context: AgentContext, heartbeat: HeartbeatReader) -> None:
        self._context = context
        self._heartbeat = heartbeat
        self._due: float | None = None
        self._is_told = False

    def is_due(self, pause: float) -> bool:
        """Sleep until the next reading; whether it is time."""
        stop = self._context.stop
        if not stop.wait(pause):
            return self._heartbeat.read().ended
        if self._context.allocation.local or stop.signum != signal.SIGTERM:
            return True
        if self._due is None:
            self._due = time.monotonic() + _WORD_S
        else:
            time.sleep(min(pause, _QUICK_S))
        heard = self._heartbeat.read()
        seconds = number(heard.cluster.get(DRAIN_S))
        if seconds is not None and not self._is_told:
            self._is_told = True
            self._due = time.monotonic() + seconds + _MORE_S
        return heard.ended or time.monotonic() > self._due
