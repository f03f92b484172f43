"""Failure classes: why a run ended without success, decided once and shown everywhere; and who is to blame."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """Why an attempt failed."""

    APP_FAILED = "app_failed"
    BOOTSTRAP_TIMEOUT = "bootstrap_timeout"
    NODE_FAILED = "node_failed"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    REQUEUED = "requeued"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    ENVIRONMENT = "environment"
    PORT_CONFLICT = "port_conflict"
    STORAGE = "storage"
    SLURM_REFUSED = "slurm_refused"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


class Blame(StrEnum):
    """Who has to change something, so that it does not happen again."""

    APPLICATION = "application"
    RESOURCES = "resources"
    NODE = "node"
    SITE = "site"
    UNKNOWN = "unknown"


_BLAME = {
    FailureClass.APP_FAILED: Blame.APPLICATION,
    FailureClass.ENVIRONMENT: Blame.APPLICATION,
    FailureClass.OUT_OF_MEMORY: Blame.RESOURCES,
    FailureClass.TIME_LIMIT: Blame.RESOURCES,
    FailureClass.SLURM_REFUSED: Blame.RESOURCES,
    FailureClass.NODE_FAILED: Blame.NODE,
    FailureClass.PORT_CONFLICT: Blame.NODE,
    FailureClass.PREEMPTED: Blame.SITE,
    FailureClass.REQUEUED: Blame.SITE,
    FailureClass.BOOTSTRAP_TIMEOUT: Blame.SITE,
    FailureClass.STORAGE: Blame.SITE,
    FailureClass.CANCELLED: None,
    FailureClass.SUPERSEDED: None,
    FailureClass.UNKNOWN: Blame.UNKNOWN,
}


def blame_of(failure: FailureClass | None) -> Blame | None:
    """Who is to blame for failures of this class; nobody for what a user has cancelled, or goes on elsewhere."""
    return None if failure is None else _BLAME[failure]


def failure_class_of(value: object) -> FailureClass | None:
    """The class that a file names: unknown for one of a later version, None where it names none."""
    if not value:
        return None
    try:
        return FailureClass(str(value))
    except ValueError:
        return FailureClass.UNKNOWN
