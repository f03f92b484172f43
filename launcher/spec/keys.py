"""The keys that a spec or a site file can have, read from its classes: which exist, which take strings, what a typo
meant. `root` is the class of the whole file.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from curator_slurm.launcher.spec import sbatch_options
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.node_sections import GroupSpec, ResourcesSpec
from curator_slurm.launcher.spec.yaml_document import Path

_SYNONYMS = {
    "gpus": "resources.gpus_per_node",
    "cpus": "resources.cpus_per_node",
    "memory": "resources.mem_per_node",
    "walltime": "resources.time",
    "time_limit": "resources.time",
    "queue": "resources.partition",
    "project": "resources.account",
    "env_vars": "environment.env",
    "environment_variables": "environment.env",
    "inputs": "input.paths",
    "outputs": "output.path",
    "output_dir": "output.path",
    "interpreter": "environment.python",
    "array": "shards.count",
    "max_concurrent": "shards.max_running",
    "file_list": "input.manifest",
}
"""What users of other tools write -> the key here."""


def dotted(path: Path) -> str:
    """("pipeline", "stages", 0, "use") -> `pipeline.stages.0.use`."""
    return ".".join(map(str, path))


@cache
def settings(model: type[BaseModel]) -> dict[str, Any]:
    """The keys of one section as users write them, each with its type."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def section_at(path: Path, root: type[BaseModel] = Spec) -> type[BaseModel] | None:
    """The class of the section at `path`; None where there is none, as inside of `env` or `args`."""
    models = [part for part in _types_at(path, root) if isinstance(part, type) and issubclass(part, BaseModel)]
    return models[0] if models else None


def may_be_absent(path: Path, root: type[BaseModel] = Spec) -> bool:
    """Whether `null` at `path` says that there is nothing: an optional section inside of another, and one that has its
    name from the user."""
    if len(path) == 1:
        return False
    section = section_at(path[:-1], root)
    if section is None:
        return True
    fields = {info.alias or name: info for name, info in section.model_fields.items()}
    return path[-1] in fields and fields[str(path[-1])].default is None


def wants_text(path: Path, root: type[BaseModel] = Spec) -> bool:
    """Whether the value at `path` is a string, so that a number there keeps its spelling."""
    found = list(_types_at(path, root))
    return str in found and int not in found


def is_list(path: Path, root: type[BaseModel] = Spec) -> bool:
    """Whether the setting at `path` takes a list."""
    return any(get_origin(kind) is list for kind in _types_at(path, root))


def is_environment_value(path: Path) -> bool:
    return len(path) == 3 and path[:2] == ("environment", "env")


@cache
def all_settings(root: type[BaseModel] = Spec) -> dict[str, str]:
    """Every setting of the top two levels: its last word -> its dotted key (the first one where there are several)."""
    found: dict[str, str] = {}
    for name in settings(root):
        found.setdefault(name, name)
    for name in settings(root):
        section = section_at((name,), root)
        for key in settings(section) if section else ():
            found.setdefault(key, f"{name}.{key}")
    return found


def unknown_key(path: Path, root: type[BaseModel] = Spec) -> str:
    """The message about an unknown key, with the setting that was most likely meant."""
    name = dotted(path)
    parent, key = path[:-1], str(path[-1])
    section = section_at(parent, root) or root
    known = list(settings(section))
    start = f"`{name}` is not a known setting; "
    plain = _plain(key)
    same = [candidate for candidate in known if _plain(candidate) == plain]
    close = same or get_close_matches(key, known, n=1, cutoff=0.75)
    if close:
        return f"{start}did you mean `{close[0]}`?"
    for candidate, where in all_settings(root).items():
        if _plain(candidate) == plain and where != name:
            return f"{start}did you mean `{where}`?"
    if plain in _SYNONYMS and _exists(_SYNONYMS[plain], root):
        return f"{start}did you mean `{_SYNONYMS[plain]}`?"
    if section in (root, ResourcesSpec, GroupSpec) and len(plain) > 1 and (option := sbatch_options.find(key)):
        owner = sbatch_options.OWNED.get(option)
        return start + (owner if owner else f"options of sbatch go into `resources.sbatch.{option}`")
    loose = get_close_matches(key, known, n=1, cutoff=0.6)
    if loose:
        return f"{start}did you mean `{loose[0]}`?"
    elsewhere = get_close_matches(key, list(all_settings(root)), n=1, cutoff=0.8)
    if elsewhere:
        return f"{start}did you mean `{all_settings(root)[elsewhere[0]]}`?"
    of = f"`{dotted(parent)}` has" if parent else "a spec has" if root is Spec else "a site file has"
    return f"{start}{of} {', '.join(known)}"


def _exists(key: str, root: type[BaseModel]) -> bool:
    return any(True for _ in _types_at(tuple(key.split(".")), root))


def _plain(key: str) -> str:
    return re.sub(r"[-\s]+", "_", key.strip().lstrip("-").lower())


def _types_at(path: Path, root: type[BaseModel] = Spec) -> Iterator[Any]:
    """The bare types (no unions, no annotations) that the value at `path` may have."""
    current: list[Any] = [root]
    for part in path:
        current = [below for kind in current for below in _below(kind, part)]
    yield from current


def _below(kind: Any, part: str | int) -> Iterator[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list and isinstance(part, int):
        yield from _bare(arguments[0])
    elif origin is dict and isinstance(part, str):
        yield from _bare(arguments[1])
    elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in settings(kind):
        yield from _bare(settings(kind)[str(part)])


def _bare(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _bare(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _bare(member)
    else:
        yield annotation
        if get_origin(annotation) is list and get_args(annotation):
            # A list of strings may be given as one string.
            yield from (member for member in _bare(get_args(annotation)[0]) if member is str)
