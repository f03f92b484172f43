"""Failure classes: why a run ended without success, decided once and shown everywhere."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """Why an attempt failed."""

    APP_FAILED = "app_failed"
    BOOTSTRAP_TIMEOUT = "bootstrap_timeout"
    NODE_FAILED = "node_failed"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    ENVIRONMENT = "environment"
    PORT_CONFLICT = "port_conflict"
    STORAGE = "storage"
    SLURM_REFUSED = "slurm_refused"
    UNKNOWN = "unknown"


def failure_class_of(value: object) -> FailureClass | None:
    """The class that a file names: unknown for one of a later version, None where it names none."""
    if not value:
        return None
    try:
        return FailureClass(str(value))
    except ValueError:
        return FailureClass.UNKNOWN
