"""What Ray does unasked and no run needs, turned off by its environment; importable without Ray."""

from __future__ import annotations

NO_PORT = 65536
"""Ray's dashboard serves its own metrics on all addresses, and has no switch for that; it goes on without where the
port cannot be bound, as this one cannot."""

METRICS_OFF = {"RAY_enable_metrics_collection": "0", "DASHBOARD_METRIC_PORT": str(NO_PORT)}
"""Environment of every process of a Ray whose metrics, which answer anybody on all addresses of a node, are not asked
for."""

PRESTART_OFF = {"RAY_prestart_worker_first_driver": "0"}
"""Environment of a raylet that starts workers when there is work for them. Else a Python process for each CPU of the
node starts with the first driver, whether there is work for it or not."""
