"""What `scontrol` prints as `Key=value`, of any Slurm from 22.05 on: keys that a version does not know are not there.

Pure. A value that means that there is none (`(null)`, `N/A`, `UNLIMITED`, `NONE`) is the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.slurm_time import seconds

_PAIR = re.compile(r"(?:^| )([A-Za-z][\w:/.-]*)=")
_SETTING = re.compile(r"^([A-Za-z]\w*) *= ?(.*?) *$", re.MULTILINE)
_NOTHING = frozenset({"", "(null)", "N/A", "n/a", "NONE", "None", "UNLIMITED", "INFINITE", "(null type)", "n/s"})


@dataclass(frozen=True)
class ScontrolRecord:
    """One partition or node, or the whole configuration."""

    values: Mapping[str, str]

    def text(self, key: str) -> str:
        """A value; empty where there is none."""
        value = self.values.get(key, "").strip()
        return "" if value in _NOTHING else value

    def words(self, key: str) -> tuple[str, ...]:
        """The words of a list with commas."""
        return tuple(word for word in (part.strip() for part in self.text(key).split(",")) if word)

    def number(self, key: str) -> int | None:
        """A whole number; None where there is none."""
        return whole_number(self.text(key))

    def seconds(self, key: str) -> int | None:
        """A time limit; None where there is none."""
        return seconds(self.text(key))

    def is_yes(self, key: str) -> bool:
        return self.text(key).upper() in ("YES", "1", "TRUE")


def parse_records(text: str, first: str) -> list[ScontrolRecord]:
    """The lines of `scontrol --oneliner show ...`; `first` is the key that begins one.

    Raises:
        UnreadableOutputError: no line begins with it, and there is text.
    """
    found = [ScontrolRecord(dict(pairs(line))) for line in text.splitlines() if line.startswith(f"{first}=")]
    if not found and text.strip() and not text.startswith("No "):
        raise UnreadableOutputError(f"no line begins with {first}=")
    return found


def parse_configuration(text: str) -> ScontrolRecord:
    """What `scontrol show config` prints; of a key that comes twice, the first.

    Raises:
        UnreadableOutputError: there is no setting in it.
    """
    values: dict[str, str] = {}
    for key, value in _SETTING.findall(text):
        values.setdefault(key, value)
    if not values:
        raise UnreadableOutputError("no line is a setting")
    return ScontrolRecord(values)


def pairs(line: str) -> Iterator[tuple[str, str]]:
    """`Key=value` pairs; a value reaches to the next ` Key=`, so it may hold spaces."""
    found = list(_PAIR.finditer(line))
    for match, following in zip(found, [*found[1:], None], strict=True):
        yield match[1], line[match.end() : following.start() if following else None]
