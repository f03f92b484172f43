"""Objects inside arguments: a mapping with `_target_` is replaced by the result of calling it, innermost first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from curator_slurm.launcher.spec.target import TARGET, entry_of

_PARTIAL, _ARGS = "_partial_", "_args_"
_IGNORED = frozenset({"_convert_", "_recursive_"})


def instantiate(value: Any, find: Callable[[str], Any]) -> Any:
    """`value` with its targets called; `find` imports the object of a `module:name`.

    `_args_` are positional arguments, and `_partial_: true` gives a `functools.partial`.
    """
    if isinstance(value, Mapping):
        filled = {key: instantiate(item, find) for key, item in value.items() if key not in _IGNORED}
        target = filled.pop(TARGET, None)
        if target is None:
            return filled
        made = find(entry_of(str(target)) if "." in str(target) else f"builtins:{target}")
        arguments, partial = filled.pop(_ARGS, ()), filled.pop(_PARTIAL, False)
        return functools.partial(made, *arguments, **filled) if partial else made(*arguments, **filled)
    if isinstance(value, (list, tuple)):
        return [instantiate(item, find) for item in value]
    return value
