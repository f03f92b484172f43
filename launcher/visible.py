"""Text as it may go to a terminal: characters that control one, or that mislead a reader, are shown and not sent.

Logs, names, specs and messages of Slurm are written by others. An escape sequence in them could rewrite what was
printed before, the title of the window, or the clipboard; an override of the writing direction could make a path look
like another.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and line feed
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of writing
    r"\u200b\u2028\u2029\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # no width, other ends of lines
    r"\ud800-\udfff"  # bytes of file names that are no UTF-8
)
_CONTROL = re.compile(f"[{_UNSEEN}]")
_CONTROL_OR_LINE = re.compile(rf"[{_UNSEEN}\t\n]")
_NAMES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def visible(text: str) -> str:
    r"""`text` with `\x1b`, `\u202e` and the like in the place of such characters; lines and tabs stay.

    Plain colours are left out: Ray and loguru write them into logs, and they can do nothing but colour.
    """
    return _CONTROL.sub(_escape, _COLOUR.sub("", text))


def visible_line(text: str) -> str:
    """The same for what must stay one line: a name, a cell of a table."""
    return _CONTROL_OR_LINE.sub(_escape, _COLOUR.sub("", text))


def visible_log(text: str) -> str:
    r"""The same for a log, where a progress bar rewrites its line with `\r`: each state of it becomes a line."""
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"))


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if named := _NAMES.get(character):
        return named
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
