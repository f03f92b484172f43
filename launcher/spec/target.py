"""Stages as in NeMo Curator's YAML: `_target_: package.module.Class`, with the arguments beside it."""

from __future__ import annotations

import re
from typing import Any

from curator_slurm.launcher.spec.value_types import problem

TARGET = "_target_"
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def from_target(stage: dict[str, Any]) -> dict[str, Any]:
    """The same stage with `use` and `with`. `resources` is a setting of the stage, as in NeMo Curator's own loader.

    Raises:
        PydanticCustomError: it is not a dotted name, or `use` or `with` are given too.
    """
    arguments = dict(stage)
    target = arguments.pop(TARGET)
    both = [key for key in ("use", "with") if key in arguments]
    if both:
        raise problem(f"a stage has either `{TARGET}` with its arguments beside it, or `use` and `with`; found both")
    if not isinstance(target, str) or not _DOTTED.fullmatch(target):
        raise problem(f"`{TARGET}` must be package.module.Class; found {target!r}")
    converted: dict[str, Any] = {"use": entry_of(target)}
    resources = arguments.pop("resources", None)
    if isinstance(resources, dict):
        converted["resources"] = {key: value for key, value in resources.items() if key != TARGET}
    elif resources is not None:
        converted["resources"] = resources
    return {**converted, "with": arguments}


def entry_of(target: str) -> str:
    """`a.b.C` as `a.b:C`; by custom the first word with a capital begins the name inside the module."""
    words = target.split(".")
    start = next((index for index, word in enumerate(words) if word[:1].isupper()), len(words) - 1) or 1
    return f"{'.'.join(words[:start])}:{'.'.join(words[start:])}"
