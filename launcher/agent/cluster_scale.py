"""What depends on the number of nodes: Ray's settings, when a node joins, how often shared storage is asked. Pure.

Up to `LARGE` nodes Ray keeps its defaults. Above, its control service (GCS) on the head gets more threads, everybody
more patience while all join, and what every node sends or answers at intervals becomes rarer, so that the head has the
same number of calls in a second however many nodes there are. Sources: docs/how-to/large-clusters.md.
"""

from __future__ import annotations

from collections.abc import Mapping

LARGE = 64
"""Nodes up to which nothing is changed."""
MOST_READINGS = 200.0
"""Files that all workers of a run together, or its head, read in a second."""
_CHECKS = 100.0
"""Health checks of the GCS in a second; each node has one in a period."""
_MOST_THREADS = 64
_LONGEST_TIMEOUT_S = 120
_RECONNECT_S = 5
"""On small clusters: a worker whose head is gone shall leave at once, where Ray would wait for a minute."""


def ray_settings(nodes: int, cpus: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for Ray on every node of a cluster; those that the user has set stay as they are.

    `cpus` are those of the machine.
    """
    settings = {"gcs_rpc_server_reconnect_timeout_s": _RECONNECT_S}
    if nodes > LARGE:
        settings = _of_large_clusters(nodes, cpus)
    return {name: environ.get(name, str(value)) for name, value in ((f"RAY_{key}", settings[key]) for key in settings)}


def _of_large_clusters(nodes: int, cpus: int) -> dict[str, int]:
    threads = min(_MOST_THREADS, max(8, nodes // 8, cpus // 4))
    timeout = min(_LONGEST_TIMEOUT_S, 30 + nodes // 4)
    return {
        # Of the GCS: Ray has a quarter of the CPUs and one thread.
        "gcs_server_rpc_server_thread_num": threads,
        "gcs_server_rpc_client_thread_num": max(1, threads // 4),
        # Seconds: Ray has 60, 5, 60 and 60. The third is also how long workers outlive a head that is gone.
        "worker_register_timeout_seconds": max(60, timeout),
        "gcs_rpc_server_connect_timeout_s": timeout,
        "gcs_rpc_server_reconnect_timeout_s": timeout,
        "gcs_server_request_timeout_seconds": max(60, timeout),
        # Milliseconds: Ray has 3000 and 10000; a node is dead after five failures.
        "health_check_period_ms": max(3000, int(nodes / _CHECKS * 1000)),
        "health_check_timeout_ms": 30000,
        # Milliseconds between reports of every node and every worker: Ray has 100 and 1000.
        "raylet_report_resources_period_milliseconds": max(100, nodes // 2),
        "task_events_report_interval_ms": 5000,
    }


def join_delay_s(rank: int, per_second: float) -> float:
    """How long a node waits before it looks whether it can join: the others after the first ones, by their ranks.

    All of a thousand raylets that register within one second keep the GCS from answering any of them in time. Those
    that find no head yet look again in turn, as often as `reading_pause_s` allows: that spreads them, too.
    """
    return max(0, rank - LARGE) / per_second


def joins_before_head(rank: int) -> bool:
    """Whether a node starts its Ray while the head's is starting: it registers in the moment in which that is there."""
    return rank <= LARGE


def reading_pause_s(nodes: int, shortest_s: float = 0.2) -> float:
    """Seconds between two readings on each worker: all workers together make a limited number in a second."""
    return max(shortest_s, nodes / MOST_READINGS)
