"""Limits of processes as a spec has them, and as bash's ulimit takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from curator_slurm.common.sizes import parse_size

UNLIMITED = "unlimited"
_BLOCK = 1024
"""Bytes, of the numbers that bash takes for sizes."""


class Ulimit(StrEnum):
    """Limits by the names that limits.conf(5) and container runtimes have for them."""

    NOFILE = "nofile"
    NPROC = "nproc"
    STACK = "stack"
    MEMLOCK = "memlock"
    CORE = "core"
    FSIZE = "fsize"
    DATA = "data"
    AS = "as"
    CPU = "cpu"


_LETTERS = {
    Ulimit.NOFILE: "n",
    Ulimit.NPROC: "u",
    Ulimit.STACK: "s",
    Ulimit.MEMLOCK: "l",
    Ulimit.CORE: "c",
    Ulimit.FSIZE: "f",
    Ulimit.DATA: "d",
    Ulimit.AS: "v",
    Ulimit.CPU: "t",
}
_COUNTS = (Ulimit.NOFILE, Ulimit.NPROC, Ulimit.CPU)
"""Limits that are numbers, or seconds; the others are sizes."""


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _checked(value: dict[Ulimit, str]) -> dict[Ulimit, str]:
    for limit, text in value.items():
        if text == UNLIMITED:
            continue
        if limit in _COUNTS:
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"{limit.value} must be a whole number or {UNLIMITED}, not {text!r}")
        elif text != "0":
            try:
                parse_size(text)
            except ValueError:
                raise ValueError(f"{limit.value} must be a size such as 64M, or {UNLIMITED}, not {text!r}") from None
    return value


Ulimits = Annotated[
    dict[Ulimit, Annotated[str, BeforeValidator(_to_text), WithJsonSchema({"type": ["string", "number"]})]],
    AfterValidator(_checked),
]


def for_bash(limits: Mapping[Ulimit, str]) -> list[tuple[str, str, str]]:
    """(name, letter, value) of each, in bash's units."""
    return [(limit.value, _LETTERS[limit], _in_blocks(limit, text)) for limit, text in limits.items()]


def _in_blocks(limit: Ulimit, text: str) -> str:
    if text == UNLIMITED or limit in _COUNTS or text == "0":
        return text
    return str(max(1, parse_size(text) // _BLOCK))
