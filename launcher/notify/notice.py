"""What people are told of a run. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.shell import quote
from curator_slurm.launcher.spec.notify_section import NotifyEvent
from curator_slurm.launcher.spec.placeholders import find
from curator_slurm.launcher.states import RunState

PREFIX = "CURATOR_SLURM_NOTICE_"
"""What the variables of a command begin with."""
_LONG = 2_000
"""Characters of a message: those that take notices often refuse long ones."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One event of a run; the fields are `FIELDS` of spec/notify_section.py."""

    event: NotifyEvent
    state: RunState
    run_id: str
    name: str
    run_dir: str
    job_id: str = ""
    failure_class: str = ""
    message: str = ""
    next_step: str = ""
    shards_done: int = 0
    shards_total: int = 1
    waited_hours: float = 0.0
    time: float = field(default_factory=lambda: round(time.time(), 3))

    @property
    def text(self) -> str:
        """All of it in a sentence or two."""
        if self.event is NotifyEvent.WAITING:
            return (
                f"{self.name} ({self.run_id}) has waited in the queue for "
                f"{several(self.waited_hours, 'hour')}. {self.message}"
            )
        shards = f", {self.shards_done} of {self.shards_total} shards are done" if self.shards_total > 1 else ""
        failure = f" ({self.failure_class})" if self.failure_class else ""
        parts = [f"{self.name} ({self.run_id}) is {self.state}{failure}{shards}"]
        parts += [text for text in (self.message, self.next_step) if text]
        return " ".join(f"{part.rstrip('.')}." for part in parts)

    def values(self) -> dict[str, Any]:
        """Name -> value, as JSON has them; without control characters."""
        found: dict[str, Any] = {**asdict(self), "event": str(self.event), "state": str(self.state), "text": self.text}
        return {key: _clean(value) if isinstance(value, str) else value for key, value in found.items()}


def notice_of_end(state: RunState, **fields: Any) -> Notice:
    """The notice of a run that has ended, and does not go on by itself."""
    helps = state not in (RunState.COMPLETED, RunState.CANCELLED)
    return Notice(event=NotifyEvent.NEEDS_HELP if helps else NotifyEvent.ENDED, state=state, **fields)


def notice_of_wait(state: RunState, hours: float, **fields: Any) -> Notice:
    """The notice of a run that has been in the queue for so long."""
    return Notice(event=NotifyEvent.WAITING, state=state, waited_hours=round(hours, 2), **fields)


def body_of(notice: Notice, template: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON that is posted: the template with its placeholders filled in, or all values."""
    values = notice.values()
    return {key: _filled(item, values) for key, item in template.items()} if template else {"schema": 1, **values}


def script_of(notice: Notice, command: str) -> str:
    """A bash script that has the values in variables, then the command: no value is ever parsed by bash."""
    lines = [f"export {PREFIX}{key.upper()}={quote(str(value))}" for key, value in notice.values().items()]
    return "\n".join([*lines, command, ""])


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if not isinstance(value, str):
        return value
    parts: list[str] = []
    end = 0
    for found in find(value):
        if not found.escaped and (found.start, found.end) == (0, len(value)):
            return values[str(found.name)]
        parts += [value[end : found.start], "${" if found.escaped else str(values[str(found.name)])]
        end = found.end
    return "".join([*parts, value[end:]])


def _clean(text: str) -> str:
    return _CONTROL.sub(" ", text)[:_LONG]
