"""Accidents at random, but the same ones for the same seed: nodes, processes and the controller die and come back."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from slurm_cluster import SlurmCluster
from slurm_cluster.processes import Process

LEAST = 3
_KINDS: dict[str, tuple[str, ...]] = {
    "driver": ("curator_slurm.launcher.driver.driver", "copying.py"),
    "agent": ("node_agent --run-dir",),
    "worker": ("ray::", "raylet", "gcs_server"),
    "script": ("slurm_script",),
}
"""Kind of process -> what its command line says."""


class Disorder:
    """Something goes wrong every few seconds, until everything is put in order again."""

    def __init__(self, cluster: SlurmCluster, seed: int) -> None:
        self.cluster = cluster
        self.log: list[str] = []
        """What was done, for the message of a test that fails."""
        self.crashes = 0
        """Counts up when the login node, with the controller, is killed, and again when it is back: odd in between."""
        self._random = random.Random(seed)
        self._began = time.monotonic()

    def reign(self, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
        """Cause accidents for a while, three at least, or until it is `over`; then restore what is off."""
        deadline = time.monotonic() + seconds
        try:
            while (time.monotonic() < deadline or len(self.log) < LEAST) and not over():
                self._accident()
                threading.Event().wait(self._random.uniform(1.0, 4.0))
        finally:
            self._restore()

    def _accident(self) -> None:
        kind = self._random.choices(
            ["driver", "agent", "worker", "script", "any", "node", "node back", "controller"],
            [5, 3, 3, 1, 2, 1, 3, 1],
        )[0]
        if kind == "controller":
            self.crashes += 1
            self.cluster.kill_node(self.cluster.login)
            self._note("killed the controller")
            self.cluster.restore_node(self.cluster.login)
            self.crashes += 1
        elif kind == "node":
            name = self._random.choice(self.cluster.nodes)
            if self.cluster.is_on(name):
                self.cluster.kill_node(name)
                self._note(f"cut the power of {name}")
        elif kind == "node back":
            self._restore(limit=1)
        else:
            self._kill(kind)

    def _kill(self, kind: str) -> None:
        found = [process for process in self.cluster.processes() if process.node != self.cluster.login]
        if kind != "any":
            found = [process for process in found if any(sign in process.command for sign in _KINDS[kind])]
        if not found:
            return
        victim: Process = self._random.choice(sorted(found, key=lambda process: process.pid))
        with suppress(ProcessLookupError):
            os.kill(victim.pid, 9)
        self._note(f"killed {kind} on {victim.node}: {victim.command[:90]}")

    def _restore(self, limit: int | None = None) -> None:
        off = [name for name in [self.cluster.login, *self.cluster.nodes] if not self.cluster.is_on(name)]
        for name in off[:limit]:
            self.cluster.restore_node(name)
            self._note(f"gave {name} its power back")

    def _note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self._began:6.1f} s  {text}")
