"""Faults of storage and sudden deaths: a process that dies after its n-th change to the file system, an operation that
fails, names that are not seen yet.

    for operation in every_crash(publish):      # one run of `publish` for each of its operations, which dies after it
        recover_and_check()

Only what changes the file system counts: opening for writing, mkdir, rename, unlink, fsync and so on.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from curator_slurm.common import exchange

CRASHED = 86
"""Exit status of a process that was made to die."""

_CHANGING = (
    "mkdir", "rmdir", "rename", "replace", "link", "symlink", "unlink", "remove", "fsync", "truncate", "write",
    "pwrite", "chmod", "utime",
)  # fmt: skip
_READING = ("stat", "lstat", "scandir", "listdir")


@contextlib.contextmanager
def intercepted(before: Callable[[str], None], after: Callable[[str], None]) -> Iterator[None]:
    """Call `before` and `after` with the name of each operation that changes the file system."""
    originals: dict[str, Any] = {name: getattr(os, name) for name in (*_CHANGING, "open")}
    original_open, original_exchange = io.open, exchange.exchange

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            before(name)
            result = original(*arguments, **options)
            after(name)
            return result

        return call

    def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        counts = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if counts:
            before("open")
        descriptor: int = originals["open"](path, flags, *arguments, **options)
        if counts:
            after("open")
        return descriptor

    def any_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        counts = set(mode) & set("wax+") and not isinstance(file, int)
        if counts:
            before("open")
        stream = original_open(file, mode, *arguments, **options)
        if counts:
            after("open")
        return stream

    try:
        for name in _CHANGING:
            setattr(os, name, wrap(name, originals[name]))
        exchange.exchange = wrap("exchange", original_exchange)
        os.open = os_open  # type: ignore[assignment]
        io.open = builtins.open = any_open  # type: ignore[assignment]
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
        io.open = builtins.open = original_open
        exchange.exchange = original_exchange


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _name: str) -> None:
        self.count += 1


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a child process; its exit status, 1 where it raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork where there are threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash_after(operation: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that dies right after its n-th operation (from 1); False if it had fewer and ended."""
    counter = _Counter()

    def after(name: str) -> None:
        counter(name)
        if counter.count == operation:
            os._exit(CRASHED)

    def run() -> None:
        with intercepted(lambda _: None, after):
            action()

    code = in_child(run)
    assert code in (0, CRASHED), f"before operation {operation} it ended with {code}"
    return code == CRASHED


def every_crash(action: Callable[[], object], step: int = 1) -> Iterator[int]:
    """Run `action` again and again, dying after operation 1, 1 + step, ...; ends once it has run to its end.

    The caller puts things right between the steps, and gets the last number after which nothing died.
    """
    operation = 1
    while crash_after(operation, action):
        yield operation
        operation += step
    yield operation


@contextlib.contextmanager
def failing(operation: int, number: int = errno.ENOSPC, *, for_ever: bool = False) -> Iterator[Callable[[], bool]]:
    """The n-th operation (from 1) fails, and all later ones `for_ever`; yields whether it came to that."""
    counter = _Counter()

    def before(name: str) -> None:
        if name in ("unlink", "rmdir", "remove"):  # a full disk lets you delete
            return
        counter(name)
        if counter.count == operation or (for_ever and counter.count > operation):
            raise OSError(number, os.strerror(number))

    with intercepted(before, lambda _: None):
        yield lambda: counter.count >= operation


@contextlib.contextmanager
def hidden(path: Path, looks: int) -> Iterator[Callable[[], int]]:
    """`path` and all in it are not seen for so many looks, as on network storage; yields the looks that are left.

    Renames and mkdir are not fooled: the server decides about them.
    """
    originals = {name: getattr(os, name) for name in (*_READING, "open")}
    original_open = io.open
    left = looks

    def check(file: Any) -> None:
        nonlocal left
        try:
            name = Path(os.fsdecode(file))
        except TypeError:
            return
        if left > 0 and (name == path or path in name.parents):
            left -= 1
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(name))

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any = ".", *arguments: Any, **options: Any) -> Any:
            check(file)
            return original(file, *arguments, **options)

        return call

    try:
        for name, original in originals.items():
            setattr(os, name, wrap(original))
        io.open = builtins.open = wrap(original_open)
        yield lambda: left
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
        io.open = builtins.open = original_open
