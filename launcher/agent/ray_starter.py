"""The program that starts Ray on a node and stays with it: `python -m curator_slurm.launcher.agent.ray_starter`.

It stands in place of `ray start --block`, which it becomes where the installed Ray does not let itself be started
otherwise. It is started before its order is known, because importing Ray takes longest; the order is one line of JSON
on its standard input. What it prints is the node's ray.log, from which the agent takes how far it has come.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.executors.ray_internals import NODE_SERVICES, warn_of_changes
from curator_slurm.executors.ray_services import (
    RunningServices,
    Services,
    can_start,
    start_services,
    wait_until_open,
)

PHASE = "phase: "
"""Begins a line that says what was reached, and when."""
STARTED = "Ray runtime started"
"""What `ray start` prints, too."""
COMPLETE = "All services of Ray are up"
FALLBACK = "Starting Ray with `ray start`"

_WAIT_S = 300.0
_LOOK_S = 0.2
_STOP_S = 0.4
_EXPECTED = (0, signal.SIGTERM, -signal.SIGTERM, 128 + signal.SIGTERM)


class Starter:
    """One node's Ray, from the order to its end."""

    def __init__(self) -> None:
        self.running: RunningServices | None = None

    def run(self, order: dict[str, Any]) -> int:
        """Start everything, and wait for the end of anything."""
        for address in order["wait_for"]:
            wait_until_open(address, _WAIT_S, order["pause_s"])
        wanted = order["services"]
        say_phase("ray_starting")
        services = Services(wanted["head"], wanted["parameters"], Dashboard(wanted["dashboard"]), wanted["agents"])
        self.running = start_services(services)
        say_phase("ray_started")
        print(f"{STARTED}.", flush=True)
        threading.Thread(target=self._watch, args=(self.running,), daemon=True).start()
        self.running.start_rest()  # in this thread, which stays: Ray's programs end with the thread that started them
        say_phase("ray_complete")
        print(f"{COMPLETE}.", flush=True)
        while True:
            signal.pause()

    def stop(self, _signum: int, _frame: FrameType | None) -> None:
        """SIGTERM: end the services, in peace where that is quick; what is left is killed with this process."""
        processes = self.running.processes() if self.running is not None else []
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
        os._exit(0)

    def _watch(self, running: RunningServices) -> None:
        while True:
            time.sleep(_LOOK_S)
            unexpected = [(kind, code) for kind, code in running.ended() if code not in _EXPECTED]
            if unexpected:
                words = ", ".join(f"{kind} (exit code {code})" for kind, code in unexpected)
                print(f"Some Ray subprocesses exited unexpectedly: {words}", flush=True)
                os._exit(1)


def say_phase(name: str) -> None:
    """Tell the agent what was reached."""
    print(f"{PHASE}{name} {time.time():.3f}", flush=True)


def main() -> int:
    """Import, wait for the order, carry it out."""
    starter = Starter()
    signal.signal(signal.SIGTERM, starter.stop)
    able = can_start()
    say_phase("ray_imported")
    line = sys.stdin.readline()
    if not line:
        return 0
    order = json.loads(line)
    os.environ.update(order["environment"])
    if not able:
        warn_of_changes(print, NODE_SERVICES)
        print(FALLBACK, flush=True)
        os.execv(order["command"][0], order["command"])
    try:
        return starter.run(order)
    except Exception as error:
        traceback.print_exc()
        print(f"Ray did not start: {error}", flush=True)
        return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
