"""Packages that only some stages need: looked for when a stage is made, loaded when it works."""

from __future__ import annotations

import importlib.util

_OF = {"av": ("PyAV", "video"), "soundfile": ("soundfile", "audio"), "soxr": ("soxr", "audio")}
"""Module -> the package's name, and the extra that it is in."""


def need_package(module: str, owner: str) -> None:
    """Refuse a stage whose package is not there, before the pipeline runs.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    if importlib.util.find_spec(module) is None:
        package, extra = _OF[module]
        raise ImportError(
            f"{owner} needs {package}, which is not installed: pip install {module} (the extra {extra!r} has it)"
        )


def need_number(owner: str, *, above: float | None = None, least: float | None = None, **given: float) -> None:
    """Refuse an argument that is no number, or not above or at least the bound.

    Raises:
        ValueError: names the argument.
    """
    for name, value in given.items():
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not plain or (above is not None and not value > above) or (least is not None and not value >= least):
            bound = f" above {above:g}" if above is not None else f", {least:g} or more" if least is not None else ""
            raise ValueError(f"{owner}: {name} must be a number{bound}, not {value!r}")
