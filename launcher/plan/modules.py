"""Which modules a spec names: they, and what they import, are the user's code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.user_code import Code
from curator_slurm.launcher.spec.model import Spec

_ENTRY = re.compile(r"([A-Za-z_]\w*)[\w.]*:[A-Za-z_][\w.]*")
_DOTTED = re.compile(r"\b([A-Za-z_]\w*)\.[A-Za-z_]")


def code_of(plan: Plan) -> Code:
    """What a run of this plan takes with it."""
    return Code(plan.spec_dir, frozenset(named_modules(plan.spec)), plan.spec.pipeline.file)


def named_modules(spec: Spec) -> set[str]:
    """The first names of modules in `pipeline`, its YAML of NeMo Curator, and `executor`; none of a command's."""
    if spec.pipeline.command is not None:
        return set()
    texts = [*_texts(spec.pipeline.model_dump(mode="json", by_alias=True)), str(spec.executor.backend)]
    found = {match[1] for text in texts if (match := _ENTRY.fullmatch(text))}
    if spec.pipeline.file is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found |= set(_DOTTED.findall(Path(spec.pipeline.file).read_text(encoding="utf-8")))
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
