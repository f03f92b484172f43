"""How much of Ray's dashboard a run has: what its spec asks for, and what its head starts."""

from __future__ import annotations

from enum import StrEnum


class Dashboard(StrEnum):
    """How much of Ray's dashboard is started on the head."""

    OFF = "off"
    STATE = "state"
    """The server of the state API alone, which cosmos-xenna asks for its actors."""
    FULL = "full"
    """With the page, the job API and an agent on each node."""
