"""What the head's agent makes of Slurm's signals: the work drains, or ends at once.

Slurm is asked in a thread, and storage is looked at in another: the work goes on meanwhile.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from curator_slurm.launcher.agent import job_control
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.drain_order import DrainOrder, after_signal, before_limit
from curator_slurm.launcher.agent.job_log import JobLog
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.drain_notice import drain_notice_s

_FILE_S = 1.0
"""Between two looks for the file that the batch script leaves when it gets the signal before the time limit."""
LATE_S = 3.0
"""How long work that should be over may still take until it is ended."""


class Draining:
    """`look` often, then see `stops` and `order`. `tell` hands the seconds that are left to the workers."""

    def __init__(self, context: AgentContext, job_log: JobLog, tell: Callable[[float], None]) -> None:
        self.context = context
        self.stops = False
        """The work is to end at once."""
        self.announced: DrainOrder | None = None
        """The newest order, whose time to begin may not have come."""
        self._log = job_log
        self._tell = tell
        self._heard = 0
        self._signalled = threading.Event()
        self._over = threading.Event()
        self._asking: threading.Thread | None = None
        self._answer: tuple[DrainOrder | None] | None = None
        self._seen_file = False

    def watch(self) -> None:
        """Look for the file of the batch script from now on."""
        if not self.context.allocation.local and drain_notice_s(self.context.plan) is not None:
            threading.Thread(target=self._look_for_file, name="drain", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    @property
    def order(self) -> DrainOrder | None:
        """The order that is in force; None while nothing is to be drained."""
        found = self.announced
        return found if found is not None and time.time() >= found.begin else None

    @property
    def is_late(self) -> bool:
        """Whether the time for draining is over, and the work is not."""
        return self.announced is not None and time.time() > self.announced.until + LATE_S

    def look(self) -> None:
        """Take signals and answers into account."""
        stop = self.context.stop
        if stop.requested and (self.context.allocation.local or stop.signum != signal.SIGTERM):
            self.stops = True
            return
        if stop.count != self._heard:
            self._heard = stop.count
            if self._log.job_is_cancelled():
                self.stops = True
                return
            self._ask(self._on_signal)
        elif self._signalled.is_set() and not self._seen_file:
            self._seen_file = True
            self._ask(self._on_notice)
        if self._answer is not None and self._asking is not None and not self._asking.is_alive():
            (order,), self._answer, self._asking = self._answer, None, None
            self._obey(order)

    def pause(self, seconds: float) -> None:
        """Sleep, and wake up by a signal that has not been heard."""
        if self.context.stop.count != self._heard or not self.context.stop.requested:
            self.context.stop.wait(seconds)
        else:
            time.sleep(seconds)

    def _obey(self, order: DrainOrder | None) -> None:
        if order is None:
            self.stops = True
            return
        if self.announced is not None and order.until >= self.announced.until:
            order = DrainOrder(order.reason or self.announced.reason, self.announced.begin, self.announced.until)
        self.announced = order
        log.info("Slurm ends the job (%s): draining from %s", order.reason or "no reason known", _clock(order))
        if self.context.stop.requested:
            self._tell(max(0.0, order.until - time.time()) + LATE_S)

    def _ask(self, question: Callable[[], DrainOrder | None]) -> None:
        """In a thread; a new signal is a new question, whose answer counts."""

        def ask() -> None:
            try:
                answer = question()
            except Exception:
                log.exception("cannot tell why Slurm ends the job: the work ends at once")
                answer = None
            if threading.current_thread() is self._asking:
                self._answer = (answer,)

        self._answer = None
        self._asking = threading.Thread(target=ask, name="reason", daemon=True)
        self._asking.start()

    def _on_signal(self) -> DrainOrder | None:
        ending, kill_wait_s = job_control.ending_of(self.context, kill_wait=True)
        in_log = self._log.reason()  # again: what was not there a moment ago may be now
        if self._log.job_is_cancelled():
            return None
        return after_signal(time.time(), ending, in_log, kill_wait_s)

    def _on_notice(self) -> DrainOrder:
        notice_s = drain_notice_s(self.context.plan) or 0.0
        ending, _ = job_control.ending_of(self.context)
        return before_limit(time.time(), ending, notice_s)

    def _look_for_file(self) -> None:
        while not self._over.wait(_FILE_S):
            if self.context.cluster.drain_request.exists():
                self._signalled.set()
                return


def _clock(order: DrainOrder) -> str:
    begin, until = (time.strftime("%H:%M:%S", time.localtime(moment)) for moment in (order.begin, order.until))
    return f"{begin} until {until}"


def why(order: DrainOrder | None) -> str:
    """The reason of an order in words."""
    reason: FailureClass | None = order.reason if order else None
    return reason.replace("_", " ") if reason else "no reason is known"
