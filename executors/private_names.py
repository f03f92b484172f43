"""Private names of other packages that ours uses: listed, checked before a run, and each with what is lost without it.

A private name may change with any release. So all of one package stand in one `PrivateNames`, grouped by the feature
that needs them. Where one has changed, that feature is off, the log says what is lost, and the run goes on.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

ATTRIBUTE = None
"""In place of parameters: a name that is read, not called."""


@dataclass(frozen=True)
class Feature:
    """Something of ours that is built on private names."""

    key: str
    why: str
    lost: str
    """What users miss without it, as a sentence without its full stop."""
    needs: tuple[str, ...] = ()
    """Features that it cannot do without."""


@dataclass(frozen=True)
class PrivateName:
    """One name, and what it must look like."""

    feature: str
    path: str
    """`module:name`, with dots for attributes; of a class also those that its `__init__` sets."""
    takes: tuple[str, ...] | None = ATTRIBUTE
    """The parameters that we pass, or get where we override it; further ones must have defaults."""
    versions: str = ""
    """Which of the tested versions have it so, where not all do."""
    optional: bool = False
    """Whether it may be missing: nothing is lost then."""
    check: Callable[[], str | None] | None = None
    """Where the name is in no module: says how it differs."""

    @property
    def shown(self) -> str:
        """The name as messages and the docs write it."""
        return self.path.replace(":", ".")

    def problem(self) -> str | None:
        """How the installed package differs from what we expect; None: it does not."""
        if self.check is not None:
            return self.check()
        module, _, dotted = self.path.partition(":")
        *owners, name = dotted.split(".")
        try:
            owner: Any = importlib.import_module(module)
            for part in owners:
                owner = getattr(owner, part)
        except (ImportError, AttributeError):
            return f"{self.shown} is missing"
        if not _has(owner, name):
            return None if self.optional else f"{self.shown} is missing"
        if self.takes is None:
            return None
        found = inspect.getattr_static(owner, name, None)
        return _mismatch(self.shown, found if found is not None else getattr(owner, name), self.takes, owner)


@dataclass(frozen=True)
class PrivateNames:
    """All private names of one package."""

    package: str
    """As pip knows it."""
    tested: tuple[str, str]
    """The lowest and the highest version that the tests ran with."""
    features: tuple[Feature, ...]
    names: tuple[PrivateName, ...]

    @cached_property
    def _by_key(self) -> dict[str, Feature]:
        return {feature.key: feature for feature in self.features}

    def version(self) -> str:
        """The installed version."""
        return importlib.metadata.version(self.package)

    def problems(self, feature: str) -> list[str]:
        """What has changed of the names that a feature needs."""
        return [found for name in self.names if name.feature == feature and (found := name.problem())]

    def supports(self, feature: str) -> bool:
        """Whether a feature can be used with the installed version."""
        return not self.problems(feature) and all(map(self.supports, self._by_key[feature].needs))

    def supported(self) -> frozenset[str]:
        """All features that can be used."""
        return frozenset(key for key in self._by_key if self.supports(key))

    def warn(self, warning: Callable[[str], Any], features: Iterable[str] | None = None) -> None:
        """One warning for each of these features (default: all) that is off, with the names and what is lost."""
        for key in features if features is not None else self._by_key:
            problems = self.problems(key)
            if problems:
                warning(self._describe(key, problems))

    def warn_untested(self, warning: Callable[[str], Any]) -> None:
        """A warning where the installed version is none of those that were tested."""
        low, high = map(_numbers, self.tested)
        if not low <= _numbers(self.version()) <= high:
            warning(
                f"{self.package} {self.version()} is not among the versions that were tested, "
                f"{self.tested[0]} to {self.tested[1]}"
            )

    def _describe(self, key: str, problems: list[str]) -> str:
        lost = [self._by_key[key].lost]
        lost += [other.lost for other in self.features if key in other.needs]
        return (
            f"{self.package} {self.version()} (tested: {self.tested[0]} to {self.tested[1]}): {'; '.join(problems)}. "
            f"The run goes on without what needs this: {'; '.join(lost)}"
        )

    def table(self) -> str:
        """The rows of the docs: every feature with its names."""
        rows = ["| private names | versions | why | without them |", "|---|---|---|---|"]
        for feature in self.features:
            names = [name for name in self.names if name.feature == feature.key]
            versions = " to ".join(self.tested)
            listed = [f"`{_short(name)}`" + (f" ({name.versions} only)" if name.versions else "") for name in names]
            rows.append(f"| {'<br>'.join(listed)} | {versions} | {feature.why} | {feature.lost} |")
        return "\n".join(rows)


def _short(name: PrivateName) -> str:
    """Without the module where a class says enough."""
    module, _, dotted = name.path.partition(":")
    shown = dotted if "." in dotted else f"{module.rpartition('.')[2]}.{dotted}"
    return shown if name.takes is None else f"{shown}({', '.join(name.takes)})"


def _has(owner: Any, name: str) -> bool:
    if hasattr(owner, name):
        return True
    if not isinstance(owner, type):
        return False
    attributes = getattr(owner, "__attrs_attrs__", ())
    if any(attribute.name == name for attribute in attributes) or name in getattr(owner, "__annotations__", {}):
        return True
    return any(name in code.co_names for base in owner.__mro__ if (code := _code(vars(base).get("__init__"))))


def _code(function: Any) -> Any:
    return getattr(function, "__code__", None)


def _mismatch(shown: str, found: Any, takes: tuple[str, ...], owner: Any) -> str | None:
    """What is wrong with a callable that is to take these parameters, in this order or by these names."""
    bound = isinstance(owner, type) and not isinstance(found, (staticmethod, type))
    function = inspect.unwrap(getattr(found, "__func__", found))
    if not callable(function):
        return f"{shown} cannot be called"
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a compiled function without a text signature
        return None
    if bound:
        parameters = parameters[1:]
    named = {p.name for p in parameters}
    free = any(p.kind is p.VAR_KEYWORD for p in parameters)
    constants = getattr(_code(function), "co_consts", ())  # what **kwargs is searched for
    missing = [name for name in takes if name not in named and not (free and name in constants)]
    demanded = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in takes
    ]
    order = [p.name for p in parameters if p.name in takes]
    expected = [name for name in takes if name in named]
    if missing or demanded or order != expected:
        return f"{shown} takes ({', '.join(p.name for p in parameters)}) instead of ({', '.join(takes)})"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a release; what follows them does not count."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
