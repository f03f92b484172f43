"""What `site check` has found, each with where and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class SiteFinding:
    """One thing about a site file: `key` is dotted, `message` says what and why, `step` what to do next."""

    severity: Severity
    key: str
    message: str
    step: str = ""
    where: str = ""
    """file:line."""


def error(key: str, message: str, step: str = "") -> SiteFinding:
    return SiteFinding(Severity.ERROR, key, message, step)


def warning(key: str, message: str, step: str = "") -> SiteFinding:
    return SiteFinding(Severity.WARNING, key, message, step)


def note(key: str, message: str, step: str = "") -> SiteFinding:
    return SiteFinding(Severity.NOTE, key, message, step)
