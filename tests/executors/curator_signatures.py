"""Our names beside NeMo Curator's: parameters, methods, options, as facts that JSON can hold, and how they differ.

`nemo_curator_1.4.0.json` records NeMo Curator's side; `agreed_differences.toml` says which differences are meant, and
why. With NeMo Curator installed, `python tests/executors/curator_signatures.py` records its side again; everywhere it
writes the agreed differences into docs/stages.md.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib
import importlib.util
import inspect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TABLE = HERE / "nemo_curator_1.4.0.json"
AGREED = HERE / "agreed_differences.toml"
PAGE = HERE.parents[1] / "docs" / "stages.md"
MARK = re.compile(r"(<!-- agreed differences -->\n)(.*?)(<!-- end -->)", re.DOTALL)

OURS = ("curator_slurm.executors", "curator_slurm.executors.stages")
MORE = ("SentinelTask", "NoneTask", "FailedTask", "IdGeneratorBase", "CURATOR_ID_GENERATOR_ACTOR_NAME")
"""Names that are not exported, but stand for what is NeMo Curator's all the same."""
BACKENDS = {"xenna": "XennaExecutor", "ray_data": "RayDataExecutor", "ray_actor_pool": "RayActorPoolExecutor"}
_PROTECTED = ("_log_metric", "_log_metrics", "_time_metric")
"""Methods that subclasses call."""

Facts = dict[str, Any]


@dataclass
class Parameter:
    """A parameter of a function."""

    name: str
    kind: str
    default: str


def ours() -> dict[str, Any]:
    """What we export, and a little more, by name."""
    found = {}
    for module in map(importlib.import_module, OURS):
        found |= {name: getattr(module, name) for name in module.__all__}
    tasks = importlib.import_module("curator_slurm.executors.tasks")
    ids = importlib.import_module("curator_slurm.executors.stages.io.id_generator")
    return found | {name: getattr(tasks, name, None) or getattr(ids, name) for name in MORE}


def our_facts() -> Facts:
    """Our side."""
    from curator_slurm.executors import known_options
    from curator_slurm.executors.ray_stage_spec import STAGE_KEYS

    facts: Facts = {name: facts_of(thing) for name, thing in ours().items()}
    for backend, name in BACKENDS.items():
        facts[name]["config"] = sorted({*known_options.COMMON_KEYS, *known_options.OPTIONS[backend]})
    facts["ray_stage_spec()"] = sorted(STAGE_KEYS)
    facts["xenna_stage_spec()"] = sorted(known_options.STAGE_OPTIONS)
    return facts


def their_facts() -> Facts:
    """NeMo Curator's side, from the package that is installed: all names, and facts of those that are ours too."""
    root = Path(importlib.util.find_spec("nemo_curator").origin).parent  # type: ignore[union-attr, arg-type]
    places = definitions(root)
    facts: Facts = {}
    for name in sorted(set(ours()) & set(places)):
        facts[name] = facts_of(getattr(importlib.import_module(places[name]), name))
    for name in BACKENDS.values():
        source = inspect.getsource(getattr(importlib.import_module(places[name]), name))
        keys = re.findall(r'(?:\bconfig\.get|_get_pipeline_config)\(\s*"(\w+)"', source)
        facts[name]["config"] = sorted(set(keys))
        if name == "XennaExecutor":
            facts["xenna_stage_spec()"] = sorted(set(re.findall(r'stage_config\.get\("(\w+)"', source)))
    keys = importlib.import_module(places["RayStageSpecKeys"]).RayStageSpecKeys
    facts["ray_stage_spec()"] = sorted(key.value for key in keys)
    return {"names": sorted(places), "facts": facts}


def definitions(root: Path) -> dict[str, str]:
    """Public classes, functions and capital constants at the top of a package's modules -> the module of the first."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        module = ".".join((root.name, *path.relative_to(root).with_suffix("").parts))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name) and target.id.isupper()]
            for name in names:
                if not name.startswith("_"):
                    found.setdefault(name, module)
    return found


def facts_of(thing: Any) -> Facts:
    """Parameters and methods of a class, parameters of a function, the value of a constant."""
    if not callable(thing):
        return {"value": repr(thing)}
    if not isinstance(thing, type):
        return {"parameters": signature(thing)}
    package = thing.__module__.partition(".")[0]
    methods: dict[str, Any] = {}
    for cls in reversed(thing.__mro__):
        if cls.__module__.partition(".")[0] != package:
            continue
        for name, member in vars(cls).items():
            if name.startswith("_") and name not in _PROTECTED:
                continue
            function = getattr(member, "__func__", member)
            if isinstance(member, property):
                methods[name] = "property"
            elif inspect.isfunction(function):
                methods[name] = signature(function)
    return {"parameters": signature(thing.__init__), "methods": dict(sorted(methods.items()))}


def signature(function: Any) -> str:
    """The parameters of a function as its definition has them, without `self` and annotations.

    `made` stands for a default that is made anew for each call, `unset` for one that only says that nothing was given.
    """
    kept = []
    for item in inspect.signature(function).parameters.values():
        if item.name not in ("self", "cls") and not item.name.startswith("_ray_trace"):
            default = item.default if item.default is item.empty else _Shown(item.default)
            kept.append(item.replace(annotation=item.empty, default=default))
    return str(inspect.Signature(kept))


class _Shown:
    """A default that is shown as the table has it."""

    def __init__(self, value: Any) -> None:
        if isinstance(value, tuple):
            value = tuple(item.name if isinstance(item, Enum) else item for item in value)
        made = type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
        plain = isinstance(value, str | int | float | tuple | None)
        self.text = "made" if made else repr(value) if plain else "unset"

    def __repr__(self) -> str:
        return self.text


def parameters(text: str) -> list[Parameter]:
    """Name, kind and default of each parameter of a signature."""
    (function,) = ast.parse(f"def f{text}: ...").body
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    found = [Parameter(item.arg, "by position or name", "required") for item in [*given.posonlyargs, *given.args]]
    for item, default in zip(reversed(found), reversed(given.defaults), strict=False):
        item.default = ast.unparse(default)
    if given.vararg:
        found.append(Parameter(given.vararg.arg, "*", "required"))
    for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append(Parameter(name.arg, "by name", ast.unparse(value) if value else "required"))
    if given.kwarg:
        found.append(Parameter(given.kwarg.arg, "**", "required"))
    return found


def differences(theirs: Facts, own: Facts) -> Iterator[str]:
    """How our facts differ from theirs where both have a name; one sentence each."""
    for name in sorted(set(theirs) & set(own)):
        if isinstance(theirs[name], list):
            yield from (f"{name} {key}: not here" for key in theirs[name] if key not in own[name])
            continue
        if theirs[name].get("value") != own[name].get("value"):
            yield f"{name}: {own[name].get('value')} here, {theirs[name].get('value')} there"
        yield from _of_parameters(name, theirs[name].get("parameters", "()"), own[name].get("parameters", "()"))
        yield from (
            f"{name} config {key}: not here" for key in theirs[name].get("config", ()) if key not in own[name]["config"]
        )
        for method, expected in theirs[name].get("methods", {}).items():
            found = own[name]["methods"].get(method)
            if found is None or "property" in (found, expected):
                if found != expected:
                    yield f"{name}.{method}: not here"
            else:
                yield from _of_parameters(f"{name}.{method}", expected, found, method=True)


def _of_parameters(where: str, theirs: str, own: str, method: bool = False) -> Iterator[str]:
    """A method's parameter whose name begins with an underscore is only ever given by position."""
    here = parameters(own)
    by_name = {item.name: item for item in here}
    matched = set()
    for position, item in enumerate(parameters(theirs)):
        found = by_name.get(item.name)
        if found is None and method and item.name.startswith("_") and position < len(here):
            found = here[position]
        if found is None:
            yield f"{where}({item.name}): not here"
            continue
        matched.add(found.name)
        if here.index(found) != position and "position" in item.kind:
            yield f"{where}({item.name}): in another place"
        if found.kind != item.kind:
            yield f"{where}({item.name}): given {found.kind} here, {item.kind} there"
        if found.default != item.default:
            yield f"{where}({item.name}): default {found.default} here, {item.default} there"
    yield from (f"{where}({item.name}): only here" for item in here if item.name not in matched)


def agreed() -> list[Mapping[str, Any]]:
    """The differences that are meant: patterns of `differences`, or a word on how things work, with a reason."""
    entries: list[Mapping[str, Any]] = tomllib.loads(AGREED.read_text(encoding="utf-8"))["difference"]
    return entries


def matching(difference: str) -> list[Mapping[str, Any]]:
    """The entries that agree to a difference."""
    return [
        entry for entry in agreed() if any(fnmatch.fnmatchcase(difference, item) for item in entry.get("patterns", ()))
    ]


def recorded() -> Facts:
    """NeMo Curator's side as recorded."""
    table: Facts = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def page(text: str) -> str:
    """The docs page with the list as it should be."""
    rows = [f"| {entry['what']} | {entry['why']} |" for entry in agreed()]
    table = "\n".join(["| difference | reason |", "|---|---|", *rows]) + "\n"
    return MARK.sub(lambda match: f"{match[1]}{table}{match[3]}", text)


if __name__ == "__main__":
    if importlib.util.find_spec("nemo_curator"):
        TABLE.write_text(json.dumps(their_facts(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
