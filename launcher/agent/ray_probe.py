"""Questions to Ray's global control service without becoming a driver."""

from __future__ import annotations

import os
from collections.abc import Callable

from curator_slurm.executors import ray_internals
from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.agent.credentials import Credentials


class GcsProbe:
    """Asks a cluster which of its nodes are alive; every question gives None where there is no answer (yet).

    Uses Ray's own client of the control service, because a driver for this costs a job, a worker and seconds. Where the
    installed Ray has changed that client, the question is asked as a driver all the same.
    """

    def __init__(self, address: str, credentials: Credentials) -> None:
        self.address = address
        self._list: Callable[[float], set[str]] | None = None
        os.environ.update(credentials.environment())

    def alive_nodes(self, timeout_s: float = 5.0) -> set[str] | None:
        """Addresses of the nodes that are alive."""
        try:
            if self._list is None:
                ray_internals.warn_of_changes(log.warning, ray_internals.NODE_LIST)
                self._list = ray_internals.node_lister(self.address)
            return self._list(timeout_s)
        except Exception:
            self._list = None
            return None
