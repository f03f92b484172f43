"""Ray's metrics, which answer anybody on all addresses of a node, turned off; importable without Ray."""

from __future__ import annotations

NO_PORT = 65536
"""Ray's dashboard serves its own metrics on all addresses, and has no switch for that; it goes on without where the
port cannot be bound, as this one cannot."""

METRICS_OFF = {"RAY_enable_metrics_collection": "0", "DASHBOARD_METRIC_PORT": str(NO_PORT)}
"""Environment of every process of a Ray."""
