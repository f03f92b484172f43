"""The section `notify` of a spec: who is told of what happens to a run, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from curator_slurm.launcher.spec.placeholders import ENV, find
from curator_slurm.launcher.spec.value_types import Bash, Number, Path, Section, problem


class NotifyEvent(StrEnum):
    """What people are told of."""

    ENDED = "ended"
    NEEDS_HELP = "needs_help"
    WAITING = "waiting"


FIELDS = {
    "event": "ended, needs_help or waiting",
    "state": "the state of the run",
    "text": "all of it in a sentence or two",
    "run_id": "the id of the run",
    "name": "its name",
    "run_dir": "its run directory",
    "job_id": "its job in Slurm; empty where none is known",
    "failure_class": "why it failed; empty where it has not",
    "message": "what `status` says of the end",
    "next_step": "what to do about it",
    "shards_done": "how many shards are done",
    "shards_total": "how many there are; 1 without `shards`",
    "waited_hours": "how long it has waited in the queue; 0 for other events",
    "time": "when this was noted, in seconds since 1970",
}
"""Name -> what it is: in the JSON that is sent, in placeholders of `notify.body`, in variables of the command."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _webhook(value: str) -> str:
    if _ADDRESS.match(value):
        raise ValueError(
            "must not be the address itself: whoever knows it can post there, and specs and plans are read by others; "
            "put it into a file and name that, or write ${env:NAME} and export the variable before you submit"
        )
    return value


class NotifySpec(Section):
    """Who is told when a run has ended, needs help or waits long; mail by Slurm: `resources.sbatch.mail-type`."""

    command: Bash | None = Field(
        default=None,
        description="bash commands that tell somebody: values are in variables such as CURATOR_SLURM_NOTICE_TEXT, and "
        "as JSON on standard input",
    )
    webhook: Annotated[Path, AfterValidator(_webhook)] | None = Field(
        default=None,
        description="where to POST JSON to: ${env:NAME} or the path of a file, with an http or https address in it",
    )
    body: dict[str, Any] = Field(
        default={},
        description="the JSON object to post, with placeholders such as ${text}; default: all that is known",
    )
    on: list[NotifyEvent] = Field(
        default=list(NotifyEvent),
        description="ended: however it ended; needs_help: only where it failed or is incomplete, and does not go on by "
        "itself; waiting: see waiting_hours",
    )
    waiting_hours: Number | None = Field(
        default=None, gt=0, description="hours in the queue after which `waiting` is told; default: never"
    )
    timeout_s: Number = Field(
        default=10, gt=0, le=60, description="the most seconds that telling may take, for each of command and webhook"
    )

    @model_validator(mode="after")
    def _consistent(self) -> NotifySpec:
        for name in sorted(_unknown(self.body)):
            raise problem(
                f"`notify.body` has `${{{name}}}`, which is none of {', '.join(FIELDS)}; a literal `${{` is `$${{`",
                "notify.body",
            )
        return self

    @property
    def webhook_variable(self) -> str | None:
        """The environment variable that holds the address; None where a file does."""
        match = re.fullmatch(r"\$\{(.*)\}", self.webhook or "")
        name = ENV.match(match[1]) if match else None
        return name[1] if name else None

    def wants(self, event: NotifyEvent) -> bool:
        """Whether somebody is to be told of this; help that is needed is an end, too."""
        if self.command is None and self.webhook is None:
            return False
        if event is NotifyEvent.WAITING:
            return self.waiting_hours is not None and event in self.on
        return event in self.on or (event is NotifyEvent.NEEDS_HELP and NotifyEvent.ENDED in self.on)


def _unknown(value: Any) -> Iterator[str]:
    """Names of placeholders that nothing stands for."""
    if isinstance(value, str):
        yield from (str(found.name or "") for found in find(value) if not found.escaped and found.name not in FIELDS)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _unknown(item)
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item)
