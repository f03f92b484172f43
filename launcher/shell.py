"""How values are written into bash source text and into lines of #SBATCH."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def is_plain(value: str) -> bool:
    """Whether bash takes `value` as it is wherever it stands."""
    return bool(_PLAIN.fullmatch(value))


def quote(value: str) -> str:
    """`value` as one bash word on one line: plain where it is plain, else quoted, control characters as escapes."""
    if is_plain(value):
        return value
    if not any(ord(c) < 32 or ord(c) == 127 for c in value):
        return "'" + value.replace("'", "'\\''") + "'"
    escapes = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": "\\'"}
    return "$'" + "".join(escapes.get(c, f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c) for c in value) + "'"


def sbatch_quote(value: str) -> str:
    r"""`value` for a line of #SBATCH, which sbatch splits itself.

    Seen with Slurm 22.05: blanks end a value and `#` starts a comment unless in quotes; inside of double quotes a
    backslash keeps the next character, and nothing is expanded.
    """
    if is_plain(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
