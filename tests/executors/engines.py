"""Which back ends a test runs on: in the suite the one or the few that it names, in `make matrix` all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

FULL = os.environ.get("CURATOR_SLURM_MATRIX") == "full"
"""Whether `make matrix` asks."""
ASKED = os.environ.get("CURATOR_SLURM_MATRIX_BACKENDS", "xenna ray_data ray_actor_pool").split()
"""The back ends that it asks for."""
EACH = ("xenna", "ray_data", "ray_actor_pool")
"""Where the mode of Xenna makes no difference."""
WITH_BATCH = ("xenna", "xenna-batch", "ray_data", "ray_actor_pool")

Test = TypeVar("Test", bound=Callable[..., Any])


def engines(*of_the_suite: str, of: Sequence[str] = EACH) -> Callable[[Test], Test]:
    """Decorate a test that takes `backend`, and whose subject is code that all of these back ends share.

    The suite runs it on those named, `make matrix` on each of `of`, which it shows as a table.
    """
    assert of_the_suite
    assert set(of_the_suite) <= set(of)
    chosen = asked(of) if FULL else list(of_the_suite)

    def decorate(test: Test) -> Test:
        marked: Test = pytest.mark.matrix(pytest.mark.parametrize("backend", chosen)(test))
        return marked

    return decorate


def asked(names: Sequence[str]) -> list[str]:
    """Of these, the ones that `make matrix` asks for; a mode of Xenna belongs to Xenna."""
    return [name for name in names if name.partition("-")[0] in ASKED]


def in_full(values: Sequence[Any], *of_the_suite: Any) -> list[Any]:
    """For other parameters: all values in `make matrix`, in the suite these."""
    return list(values) if FULL else list(of_the_suite)
