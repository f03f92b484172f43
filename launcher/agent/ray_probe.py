"""Questions to Ray's global control service without becoming a driver."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any


class GcsProbe:
    """Asks a cluster which of its nodes are alive; every question gives None where there is no answer (yet).

    Uses Ray's own client of the control service, because a driver for this costs a job, a worker and seconds.
    """

    def __init__(self, address: str, token: Path) -> None:
        self.address = address
        self._client: Any = None
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))

    def alive_nodes(self, timeout_s: float = 5.0) -> set[str] | None:
        """Addresses of the nodes that are alive."""
        try:
            if self._client is None:
                self._client = importlib.import_module("ray._raylet").GcsClient(address=self.address)
            nodes = self._client.get_all_node_info(timeout=timeout_s)
        except Exception:
            self._client = None
            return None
        return {node.node_manager_address for node in nodes.values() if node.state == 0}
