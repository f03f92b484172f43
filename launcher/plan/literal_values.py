"""Values of variables that look as if a shell were to read them, and that none does. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curator_slurm.launcher.spec.model import Spec

_OF_SHELLS = re.compile(r"\$\{?[A-Za-z_]\w*\}?|\A~/")


def notes(spec: Spec) -> Iterator[tuple[str, str]]:
    """(key, message) for each."""
    for name, value in spec.environment.env.items():
        found = _OF_SHELLS.search(str(value))
        if found is not None:
            key = f"environment.env.{name}"
            yield (
                key,
                f"`{key}` is passed on as it stands, {found[0]} and all: write the value itself, or set it in "
                f'`environment.setup`: export {name}="..."',
            )
