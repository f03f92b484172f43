"""What readers leave to pandas: options that Arrow's readers lack, with the meaning that pandas gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.executors.remarks import leave_out_files

if TYPE_CHECKING:
    import pandas as pd


def keywords(function: Callable[..., Any]) -> list[str]:
    """The named parameters of a function behind its first, which is what it reads or writes."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [item.name for item in inspect.signature(function).parameters.values() if item.kind in named][1:]


def needs_pandas(options: Mapping[str, Any], arrow: Mapping[str, Sequence[Any] | None]) -> bool:
    """Whether an option is beyond the Arrow reader, which can do those in `arrow`: with these values, None for any."""
    return any(not _can(arrow, name, value) for name, value in options.items())


def _can(arrow: Mapping[str, Sequence[Any] | None], name: str, value: Any) -> bool:
    values = arrow.get(name, ())
    return values is None or any(type(value) is type(known) and value == known for known in values)


def read_frames(
    read: Callable[..., pd.DataFrame], paths: Sequence[str], storage_options: Mapping[str, Any] | None
) -> pd.DataFrame | None:
    """The rows of all files as one frame; None where there are none.

    Raises:
        ValueError: a file cannot be read with these options, and is not skipped; it names the file.
    """
    import pandas as pd

    frames = []
    wrong: dict[str, ValueError] = {}
    for path in paths:
        remote = {"storage_options": dict(storage_options)} if storage_options and is_remote(path) else {}
        try:
            found = read(path, **remote)
        except (ValueError, TypeError, KeyError) as error:
            wrong[path] = ValueError(f"{path}: pandas cannot read it: {error}")
            continue
        if len(found):
            frames.append(found)
    leave_out_files(wrong, paths)
    return pd.concat(frames, ignore_index=True) if frames else None
