"""Whether this process goes on with what an earlier one has written: then folders of outputs are not made anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_resumed: ContextVar[bool] = ContextVar("resumed_run", default=False)


def is_resumed() -> bool:
    """Whether outputs that are there belong to the same run."""
    return _resumed.get()


@contextlib.contextmanager
def resumed_run(resumed: bool) -> Iterator[None]:
    """Stages that are made meanwhile leave the outputs of earlier attempts alone, whatever their `mode`."""
    token = _resumed.set(resumed)
    try:
        yield
    finally:
        _resumed.reset(token)
