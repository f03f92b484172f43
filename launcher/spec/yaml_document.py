"""YAML text to plain values, with the line of every value.

Scalars are those of YAML 1.2: `8:00:00`, `yes`, `on` and `2026-01-01` are strings, only true and false are booleans.
Duplicate keys, tags and recursive aliases are errors. A number keeps its spelling, because `1.10` may be meant as a
string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 100
"""Deeper nesting is refused; it would crash libyaml's composer, and with it the process."""

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path = tuple[str | int, ...]
"""Keys and list indexes from the top: ("resources", "nodes")."""

MAX_VALUES = 200_000
"""A document with more values (after aliases are expanded) is refused."""

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_STR = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset({_NULL, _BOOL, _INT, _FLOAT, _STR, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class YamlSyntaxError(Exception):
    """The text is not YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class Document:
    """The value of a YAML text and the lines of its parts."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    """How numbers and booleans were written."""
    problems: list[tuple[Path, str, int]] = field(default_factory=list)
    """(path, message, line) of what can be read but is not allowed, such as duplicate keys."""
    sources: dict[Path, str] = field(default_factory=dict)
    """The file of a line, where that is another than the document's own: a value from a layer below."""


class SpecLoader(_Loader):
    """A safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    (_NULL, r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    (_INT, r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        _FLOAT,
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+0123456789."),
    ),
    (_MERGE, r"<<\Z", ["<"]),
):
    SpecLoader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def parse(text: str) -> Document:
    """Read one YAML document; raises YamlSyntaxError."""
    try:
        _refuse_deep_nesting(text)
        node = yaml.compose(text, Loader=SpecLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlSyntaxError(f"is not valid YAML: the character {_character(error)} is not allowed", line) from None
    except yaml.MarkedYAMLError as error:
        last = max(1, text.rstrip().count("\n") + 1)
        raise YamlSyntaxError(_sentence(error), min(_line_of(error), last)) from None
    document = Document()
    if node is not None:
        document.value = _Builder(document).build(node, ())
    return document


def _refuse_deep_nesting(text: str) -> None:
    if sum(map(text.count, "[{-?:")) < MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=SpecLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise YamlSyntaxError("is nested too deeply", event.start_mark.line + 1 if event.start_mark else 1)


def _character(error: yaml.reader.ReaderError) -> str:
    return f"U+{error.character if isinstance(error.character, int) else ord(error.character):04X}"


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or "cannot be read")
    if "nesting depth" in problem:  # libyaml has a limit of its own
        return "is nested too deeply"
    advice = {
        "found character that cannot start any token": "indent with spaces; quote a string that starts with @ ` %",
        "mapping values are not allowed": "a string that contains ': ' needs quotes, or the indentation is wrong",
        "did not find expected key": "check the indentation and the quotes of this line and the one before",
        "could not find expected ':'": "a colon or a closing quote may be missing in the line before",
        "while scanning an alias": "a string that starts with * needs quotes",
        "found undefined alias": "a string that starts with * needs quotes",
        "expected a single document": "a spec is a single document; remove the ---",
    }
    for start, hint in advice.items():
        if problem.startswith(start) or start in f"{error.context or ''} {problem}":
            return f"is not valid YAML: {problem} ({hint})"
    context = f" ({error.context})" if error.context else ""
    return f"is not valid YAML: {problem}{context}"


class _Builder:
    """Turns nodes into values and notes their lines."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.document.lines.setdefault(path, line)
        self.count += 1
        if self.count > MAX_VALUES:
            raise YamlSyntaxError(f"has more than {MAX_VALUES:,} values", line)
        if id(node) in self.open:
            raise YamlSyntaxError("has a recursive alias", line)
        if node.tag not in _PLAIN_TAGS and node.tag != _MERGE:
            self._refuse(path, f"the tag `{node.tag}` is not allowed; use plain values", line)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self.open.discard(id(node))

    def _refuse(self, path: Path, message: str, line: int) -> None:
        self.document.problems.append((path, message, line))

    def _scalar(self, node: yaml.ScalarNode, path: Path, line: int) -> Any:
        text: str = node.value
        if node.tag in (_STR, _MERGE):
            return text
        if node.tag == _NULL:
            return None
        self.document.written[path] = text
        try:
            if node.tag == _BOOL:
                return {"true": True, "false": False}[text.lower()]
            return _whole(text) if node.tag == _INT else _real(text)
        except OverflowError:
            self._refuse(path, f"the number {text[:20]}... is too large", line)
        except (KeyError, ValueError):
            self._refuse(path, f"{text[:40]!r} does not match its tag", line)
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                for part in self._merged(value_node, path, line):
                    merged = {**part, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _STR:
                self._refuse(path, f'a key must be a string; write "{_short(key_node)}" with quotes', line)
                continue
            key = key_node.value
            if key in seen:
                dotted = ".".join(map(str, (*path, key)))
                self._refuse((*path, key), f"`{dotted}` is a duplicate key; the first one is in line {seen[key]}", line)
                continue
            seen[key] = line
            self.document.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return {**merged, **result}

    def _merged(self, node: yaml.Node, path: Path, line: int) -> Iterator[dict[str, Any]]:
        """The mappings that `<<:` names, the first of which wins."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode):
                yield self.build(part, path)
            else:
                self._refuse(path, "`<<` takes a mapping, such as an alias of one", line)


def _short(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "..."


def _whole(text: str) -> int:
    """Raises OverflowError beyond 64 bits, which no setting needs and Python itself does not always print."""
    number = int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10) if len(text) < 100 else None
    if number is None or not -(2**63) <= number < 2**64:
        raise OverflowError
    return number


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
