"""One command at a time on a run: a lock that works on shared storage and outlives nobody.

The lock is a file that is made by `link`, which is atomic on network file systems too, where `flock` often is not
available. Its holder touches it every few seconds. A lock whose holder is dead is broken: at once where the holder was
a process of this machine; after a minute without a touch, by our own clock, where it was one of another. Time in which
storage stalled does not count.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from curator_slurm.common.json_fields import moment
from curator_slurm.launcher.errors import RunBusyError, StorageError
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.local_process import is_process_alive
from curator_slurm.launcher.waiting import Patience

SUBMISSIONS_LOCK = "submissions"
"""The lock that whoever submits, cancels or reconciles holds."""
FEED_LOCK = "feed"
"""The lock that whoever stays to submit the rest of a run holds."""
COLLECT_LOCK = "collect"
"""The lock that whoever publishes a sharded run's outputs holds."""

TOUCH_S = 5.0
STALE_S = 60.0
PATIENCE_S = 90.0
_POLL_S = 0.2
_STEP_S = 2.0
"""The most that counts between two looks, as waiting or as silence of the holder: storage may stall in between."""
_BYTES = 1 << 16
"""A lock holds one line about its holder."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class RunLock:
    """`with RunLock(run.lock("submissions"), "retry"): ...`; waits for another holder, then gives up.

    Raises:
        RunBusyError: another command held it for `patience_s`.
        StorageError: the lock cannot be written.
    """

    def __init__(self, path: Path, purpose: str, *, patience_s: float = PATIENCE_S, stale_s: float = STALE_S) -> None:
        self.path = path
        self.token = os.urandom(8).hex()
        self._patience_s = patience_s
        self._stale_s = stale_s
        self._content = json.dumps(
            {
                "token": self.token,
                "purpose": purpose,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "pid_started": _own_start(),
                "time": time.time(),
            }
        )
        self._released = threading.Event()
        self._toucher = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> RunLock:
        waited = Patience(self._patience_s, _STEP_S)
        silence = Patience(self._stale_s, _STEP_S)
        seen: Any = None
        while (
            not self._take()
        ):  # which writes: while storage takes no writes of ours, it takes no touch of the holder's
            _check_kind(self.path)
            holder, touched = _read(self.path)
            if (holder.get("token"), touched) != seen:
                seen = (holder.get("token"), touched)
                silence.restart()
            if touched is not None and self._is_stale(holder, silence.tick()):
                _break(self.path, holder.get("token"))
                continue
            if waited.is_over():
                raise RunBusyError(_busy(holder, self.path))
            time.sleep(_POLL_S)
        self._toucher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._toucher.join()
        if self.is_held():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def is_held(self) -> bool:
        """Whether it is still ours: a holder that was suspended for long may have lost it."""
        return _read(self.path)[0].get("token") == self.token

    def check(self) -> None:
        """Raise RunBusyError if the lock was lost."""
        if not self.is_held():
            raise RunBusyError(f"another command has taken over: {self.path} is no longer ours; run this one again")

    def _take(self) -> bool:
        """Make the lock; False where there is one."""
        temporary = self.path.with_name(f"{self.path.name}.{self.token}")
        try:
            try:
                temporary.write_text(self._content, encoding="utf-8")
                os.link(temporary, self.path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._take_without_links()
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from error
        return True

    def _take_without_links(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self._content)
        return True

    def _is_stale(self, holder: dict[str, Any], silent_s: float) -> bool:
        lives = _holder_lives(holder)
        return silent_s > self._stale_s if lives is None else not lives

    def _touch(self) -> None:
        while not self._released.wait(TOUCH_S):
            with contextlib.suppress(OSError):
                if self.is_held():
                    os.utime(self.path)


def is_locked(path: Path, besides: str = "") -> bool:
    """Whether a command holds this lock, for another purpose than `besides`, as far as can be seen without waiting."""
    holder, touched = _read(path)
    if touched is None or (besides and holder.get("purpose") == besides):
        return False
    lives = _holder_lives(holder)
    return abs(time.time() - touched) < STALE_S if lives is None else lives


def _own_start() -> float | None:
    import psutil

    try:
        return psutil.Process().create_time()
    except psutil.Error:
        return None


def _read(path: Path) -> tuple[dict[str, Any], float | None]:
    """What the lock says of its holder, and when it was touched; None where there is no lock."""
    try:
        touched = path.stat().st_mtime
        value = read_json(path, _BYTES)
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError):
        return {}, 0.0
    return (value, touched) if isinstance(value, dict) else ({}, 0.0)


def _holder_lives(holder: dict[str, Any]) -> bool | None:
    """Whether the holder is a process of this machine that lives; None where this cannot be told."""
    pid, started = holder.get("pid"), holder.get("pid_started")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int) or isinstance(pid, bool):
        return None
    return is_process_alive(pid, moment(started))


def _break(path: Path, token: str | None) -> None:
    """Remove the lock of a dead holder, and no other: one breaker at a time, as far as the storage can tell."""
    with _guard(path):
        holder, touched = _read(path)
        if touched is None or holder.get("token") != token:
            return
        grave = path.with_name(f"{path.name}.{os.urandom(4).hex()}.stale")
        with contextlib.suppress(OSError):
            path.rename(grave)
            grave.unlink()


@contextlib.contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Keeps breakers apart where `flock` works; elsewhere their window is a few microseconds.

    The file is removed while it is locked. Whoever has waited for a file that is gone by then holds nothing: somebody
    else may have made and locked the next one.
    """
    guard = path.with_name(f"{path.name}.guard")
    descriptor = _lock_file(guard)
    while not _is_same(guard, descriptor):
        os.close(descriptor)
        descriptor = _lock_file(guard)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            guard.unlink()
        os.close(descriptor)


def _lock_file(path: Path) -> int:
    """Open and lock a file, which is made where it is missing; the descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _check_kind(path: Path) -> None:
    """Nobody holds what is no file, and nobody will ever release it."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise StorageError(f"{path} is in the place of a lock file, but is not a regular file: remove it")


def _busy(holder: dict[str, Any], path: Path) -> str:
    what = holder.get("purpose") or "another command"
    where = f" (process {holder['pid']} on {holder['host']})" if "pid" in holder and "host" in holder else ""
    return f"`{what}` holds the lock on this run{where}.\nTry again later. If that command is gone, remove {path}"
