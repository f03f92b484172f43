"""The head's heartbeat: one small file through which workers follow the head over shared storage.

The file exists before the agents start and is rewritten in place. A network file system may show a *new* name in a
directory as missing for half a minute (negative entries are cached), but opening a file that is there always
fetches its current content; so what workers wait for comes by content, never by the appearance of a name.
`cluster.json` is written too, by rename, for people and tools.
"""

from __future__ import annotations

import json
import math
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_slurm.launcher.agent.fence import Fence
from curator_slurm.launcher.files import parse_json
from curator_slurm.launcher.waiting import Patience

BEAT_S = 2.0
"""Between two beats of a head."""
STEP_S = 5.0
"""The most that counts as silence between two readings, where readings are not further apart."""

DRAIN_S = "drain_s"
"""Of what the head tells: it drains for so many seconds, although Slurm ends the job."""

_TRIES = 5
_END = "\n#end\n"
_SIZE = 4096
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Signal:
    """One reading of the heartbeat. `beat` grows while the head lives; `cluster` is there once Ray's head answers.

    `epoch` is that of the attempt that the head is at (`runs/epoch.py`), 0 while it is at none.
    """

    beat: int = 0
    ended: bool = False
    cluster: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0


def encode(signal: Signal) -> bytes:
    """Fixed-size text, so that one write replaces all of the old one."""
    value = {"beat": signal.beat, "ended": signal.ended, "cluster": signal.cluster, "epoch": signal.epoch}
    text = json.dumps(value)
    body = (text + _END).encode()
    return body + b" " * max(0, _SIZE - len(body))


def decode(content: bytes) -> Signal | None:
    """None for a reading that is empty or torn."""
    text, separator, _ = content.decode(errors="replace").partition(_END)
    if not separator:
        return None
    try:
        value = parse_json(text)
        epoch = int(value.get("epoch", 0))
        return Signal(int(value["beat"]), bool(value["ended"]), dict(value["cluster"]), epoch)
    except (ValueError, KeyError, TypeError):
        return None


class Heartbeat:
    """The head's side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signal = Signal()

    def send(self, *, cluster: dict[str, Any] | None = None, ended: bool = False, epoch: int = 0) -> None:
        """Show that the head lives; `cluster` and `ended` stay as they were last given."""
        cluster = self.signal.cluster if cluster is None else cluster
        self.signal = Signal(self.signal.beat + 1, ended or self.signal.ended, cluster, epoch)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600)
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


class Beating:
    """A thread that beats until the end, and alone writes the heartbeat: storage that stalls keeps nobody else."""

    def __init__(self, heartbeat: Heartbeat, fence: Fence | None = None) -> None:
        self._heartbeat = heartbeat
        self._fence = fence or Fence()
        self._cluster: dict[str, Any] | None = None
        self._more: dict[str, Any] = {}
        self._ended = False
        self._wake = threading.Event()
        self._written = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self, cluster: dict[str, Any]) -> None:
        """Hand a description of the cluster to the workers, at once."""
        self._cluster = cluster
        self._wake.set()

    def drain(self, seconds: float) -> None:
        """Tell workers that have got a signal of Slurm's, too, how long they are still needed."""
        self._more = {DRAIN_S: round(seconds, 1)}
        self._wake.set()

    def end(self, timeout_s: float) -> bool:
        """Tell the workers that it is over; False where storage has not taken it yet, which it may do later."""
        self._ended = True
        self._wake.set()
        return self._written.wait(timeout_s)

    def _run(self) -> None:
        tries = 0
        while tries < _TRIES:
            self._wake.clear()
            ended = self._ended
            try:
                cluster = {**(self._cluster or {}), **self._more} if self._cluster or self._more else None
                self._heartbeat.send(cluster=cluster, ended=ended, epoch=self._fence.number)
            except OSError:  # storage that refuses is no reason to end a run, nor to wait for ever at its end
                tries += ended
                self._fence.look()
            else:
                if ended:
                    break
                self._fence.look()
            self._wake.wait(BEAT_S)
        self._written.set()


class HeartbeatReader:
    """A worker's side: the last good signal, and for how long it has not changed."""

    def __init__(self, path: Path, step_s: float = STEP_S) -> None:
        self.path = path
        self.signal = Signal()
        self._silence = Patience(math.inf, step_s)
        self._discounted = False

    def read(self) -> Signal:
        """Read it once. A reading that fails proves nothing, and one that took long only that it took long."""
        signal = None
        try:
            signal = decode(_content(self.path))
        except FileNotFoundError:  # storage has answered: the run directory was removed
            pass
        except OSError:
            self._silence.skip()
            return self.signal
        if self._discounted:
            self._silence.skip()
            self._discounted = False
        if signal is None or signal == self.signal:
            self._silence.tick()
        else:
            self.signal = signal
            self._silence.restart()
        return self.signal

    def discount(self) -> None:
        """Storage is in trouble: the time until the next reading proves nothing."""
        self._discounted = True

    @property
    def silent_s(self) -> float:
        """Seconds since the head last showed life, by this node's clock alone, in which readings went through."""
        return self._silence.spent_s


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of a FIFO nothing is read then
    try:
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
