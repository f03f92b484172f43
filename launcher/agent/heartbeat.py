"""The head's heartbeat: one small file through which workers follow the head over shared storage.

The file exists before the agents start and is rewritten in place. A network file system may show a *new* name in a
directory as missing for half a minute (negative entries are cached), but opening a file that is there always
fetches its current content; so what workers wait for comes by content, never by the appearance of a name.
`cluster.json` is written too, by rename, for people and tools.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_END = "\n#end\n"
_SIZE = 4096


@dataclass(frozen=True)
class Signal:
    """One reading of the heartbeat. `beat` grows while the head lives; `cluster` is there once Ray's head answers."""

    beat: int = 0
    ended: bool = False
    cluster: dict[str, Any] = field(default_factory=dict)


def encode(signal: Signal) -> bytes:
    """Fixed-size text, so that one write replaces all of the old one."""
    text = json.dumps({"beat": signal.beat, "ended": signal.ended, "cluster": signal.cluster})
    body = (text + _END).encode()
    return body + b" " * max(0, _SIZE - len(body))


def decode(content: bytes) -> Signal | None:
    """None for a reading that is empty or torn."""
    text, separator, _ = content.decode(errors="replace").partition(_END)
    if not separator:
        return None
    try:
        value = json.loads(text)
        return Signal(int(value["beat"]), bool(value["ended"]), dict(value["cluster"]))
    except (ValueError, KeyError, TypeError):
        return None


class Heartbeat:
    """The head's side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signal = Signal()

    def send(self, *, cluster: dict[str, Any] | None = None, ended: bool = False) -> None:
        """Show that the head lives; `cluster` and `ended` stay as they were last given."""
        self.signal = Signal(
            self.signal.beat + 1, ended or self.signal.ended, self.signal.cluster if cluster is None else cluster
        )
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, encode(self.signal), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        """Say `ended` in place of a head that no longer can; nothing where there is no heartbeat."""
        if self.path.exists():
            self.signal = HeartbeatReader(self.path).read()
            self.send(ended=True)


class HeartbeatReader:
    """A worker's side: the last good signal, and for how long it has not changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signal = Signal()
        self._changed = time.monotonic()

    def read(self) -> Signal:
        with contextlib.suppress(OSError):
            signal = decode(self.path.read_bytes())
            if signal is not None and signal != self.signal:
                self.signal = signal
                self._changed = time.monotonic()
        return self.signal

    @property
    def silent_s(self) -> float:
        """Seconds since the head last showed life, by this node's clock alone."""
        return time.monotonic() - self._changed
