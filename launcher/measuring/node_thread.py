"""The thread that measures a node as long as its agent lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from curator_slurm.common.measurements import NodeSample, interval_s, line_of, pause_s
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.files import append_jsonl
from curator_slurm.launcher.measuring.node_figures import Figures, line_from

log = logging.getLogger("curator_slurm.agent")

_LAST_LINE_S = 0.5
"""How long the end of an agent waits for the last line; a file system that stalls may take it or leave it."""


class NodeMeasuring:
    """Lines of metrics.jsonl, until `end`. Nothing that goes wrong here does any harm to the run."""

    def __init__(self, path: Path, read: Callable[[], Figures], node: str) -> None:
        self._path = path
        self._read = read
        self._node = node
        self.last: NodeSample | None = None
        """What the last line says."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="measuring")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Write the last line, and stop."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_LINE_S)

    def _run(self) -> None:
        try:
            self._measure()
        except OSError as error:
            log.warning("measuring ends: %s", storage_errors.what(error))
        except Exception:
            log.exception("measuring ends")

    def _measure(self) -> None:
        began = time.monotonic()
        first, cost = self._timed()
        readings = [first]
        written = began
        while True:
            now = time.monotonic()
            over = self._ended.wait(pause_s(now - began, cost))
            reading, cost = self._timed()
            readings.append(reading)
            now = time.monotonic()
            if over or now - written >= interval_s(now - began):
                self.last = line_from(self._node, readings)
                append_jsonl(self._path, line_of(self.last))
                readings, written = [reading], now
            if over:
                return

    def _timed(self) -> tuple[Figures, float]:
        """A reading, and the seconds of a processor that it took."""
        began = time.thread_time()
        reading = self._read()
        return reading, time.thread_time() - began
