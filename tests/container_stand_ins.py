"""Stand-ins of container runtimes: they refuse what the real ones do not know, and run the command on the host.

As programs: `<name of a runtime> arguments`, by a link of that name; without images, so that any will do.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPTIONS = tomllib.loads(Path(__file__).with_name("container_options.toml").read_text())
PROGRAMS = {"charliecloud": "ch-run"}
"""Runtimes whose program has another name."""


@dataclass
class Call:
    """A command line of a runtime, taken apart."""

    options: list[tuple[str, str | None]] = field(default_factory=list)
    image: str | None = None
    command: list[str] = field(default_factory=list)

    def all(self, *names: str) -> list[str | None]:
        """The values of an option, by any of its names."""
        return [value for name, value in self.options if name in names]


def parse(runtime: str, arguments: Sequence[str]) -> Call:
    """What a runtime makes of its arguments.

    Raises:
        ValueError: it does not know an option, or misses something.
    """
    known: dict[str, Any] = OPTIONS[runtime]
    call, rest = Call(), list(arguments)
    while rest and rest[0].partition("=")[0] in known.get("early", ()):
        _option(call, rest, known["early"], ())
    for word in known.get("before", ()):
        if not rest or rest.pop(0) != word:
            raise ValueError(f"{runtime}: {word} is missing")
    while rest and rest[0].startswith("-") and rest[0] != "--":
        _option(call, rest, known["values"], known["flags"])
    if "--image" not in {name for name, _ in call.options}:
        call.image = rest.pop(0)
    if (after := known.get("after")) and (not rest or rest.pop(0) != after):
        raise ValueError(f"{runtime}: {after} is missing behind the image")
    call.command = rest
    return call


def parse_srun(arguments: Sequence[str]) -> Call:
    """What pyxis is given among the options of srun."""
    call = Call()
    for argument in arguments:
        name = argument.partition("=")[0]
        if "container" in name:
            _option(call, [argument], OPTIONS["pyxis"]["values"], OPTIONS["pyxis"]["flags"])
    return call


def _option(call: Call, rest: list[str], values: Sequence[str], flags: Sequence[str]) -> None:
    word = rest.pop(0)
    name, given, value = word.partition("=")
    if name in flags:
        if given and value not in ("true", "false"):
            raise ValueError(f"{name} takes no value")
        call.options.append((name, None))
    elif name in values:
        call.options.append((name, value if given else rest.pop(0)))
    else:
        raise ValueError(f"unknown option {name}")


def main() -> None:
    """Be the runtime by whose name this was started."""
    program = Path(sys.argv[0]).name
    runtime = next((name for name, of in PROGRAMS.items() if of == program), program)
    try:
        call = parse(runtime, sys.argv[1:])
    except (ValueError, IndexError) as error:
        sys.exit(f"{program}: {error}")
    if log := os.environ.get("CONTAINER_STAND_IN_LOG"):
        Path(log).write_text("\n".join(sys.argv))
    if os.environ.get("CONTAINER_STAND_IN_LEAVES") and os.fork():
        os._exit(0)  # as podman does at SIGTERM, whatever runs inside
    os.execvp(call.command[0], call.command)


if __name__ == "__main__":
    main()
