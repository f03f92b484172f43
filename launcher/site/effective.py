"""What a site's configuration is in the end: every value with where it is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curator_slurm.launcher.site.layers import Layers
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.yaml_document import Path

DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """One value of the configuration."""

    key: str
    value: Any
    origin: str


def effective(layers: Layers, *, defaults: bool = False) -> list[Setting]:
    """Every value that the layers set, in their order; with `defaults`, every key that a site file can have."""
    found = [Setting(dotted(path), value, layers.where(dotted(path))) for path, value in _leaves(layers.document.value)]
    if not defaults:
        return found
    from curator_slurm.launcher.site.model import Site

    given = {setting.key: setting for setting in found}
    whole = layers.site() or Site()
    every = dict.fromkeys([dotted(path) for path, _ in _leaves(whole.model_dump(mode="json"))])
    values = {dotted(path): value for path, value in _leaves(whole.model_dump(mode="json"))}
    return [given.get(key) or Setting(key, values[key], DEFAULT) for key in every if key not in ("extends", "locked")]


def without_effect(layers: Layers) -> Iterator[str]:
    """Keys that the layers set, and that nothing acts on in this version."""
    if not layers.layers:
        return
    from curator_slurm.launcher.site.model import WITHOUT_EFFECT

    for setting in effective(layers):
        if any(setting.key == key or setting.key.startswith(f"{key}.") for key in WITHOUT_EFFECT):
            yield f"{setting.key} ({setting.origin}) has no effect in this version yet"


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no mapping, or an empty one."""
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value
