"""Files that only grow, by lines of several writers."""

from __future__ import annotations

import os
from pathlib import Path


def append_text(path: Path | str, text: str, mode: int = 0o644) -> None:
    """Add whole lines by a single write, so that those of several writers do not mix; a new file gets `mode`.

    A FIFO that nobody reads is an error and no wait. Half of a surrogate pair becomes a question mark.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, mode)
    try:
        os.write(descriptor, text.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)
