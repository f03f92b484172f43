"""What is found in the source of a module: numbers and patterns that take more than was meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]  (there is no public parser of patterns)
from typing import Any

_ALL_DIGITS = frozenset({"isdigit", "isdecimal", "isnumeric"})


def careless(source: str) -> Iterator[tuple[int, str]]:
    """Line and reason of every place that takes digits of other scripts, or a newline at the end."""
    tree = ast.parse(source)
    guarded = {id(call) for node in ast.walk(tree) if isinstance(node, ast.BoolOp) for call in _with_isascii(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in _ALL_DIGITS and id(node) not in guarded:
            yield (
                node.lineno,
                f"{node.func.attr}() takes digits of all scripts; use whole_number, or isascii() too",
            )
        pattern = _pattern(node)
        if pattern is None:
            continue
        flags = ast.unparse(node)
        codes = list(_codes(_parser.parse(pattern)))
        if "MULTILINE" not in flags and (_constants.AT, _constants.AT_END) in codes:
            yield node.lineno, "`$` matches before a newline at the end; use fullmatch, or \\Z"
        if "ASCII" not in flags and (_constants.CATEGORY, _constants.CATEGORY_DIGIT) in codes:
            yield node.lineno, "`\\d` matches digits of all scripts; use [0-9]"


def _with_isascii(node: ast.BoolOp) -> Iterator[ast.Call]:
    """The calls in `x.isascii() and x.isdigit()`."""
    calls = [value for value in node.values if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)]
    of = {ast.unparse(call.func.value) for call in calls if call.func.attr == "isascii"}  # type: ignore[attr-defined]
    if isinstance(node.op, ast.And):
        yield from (call for call in calls if ast.unparse(call.func.value) in of)  # type: ignore[attr-defined]


def _pattern(node: ast.Call) -> str | None:
    """The pattern given to a function of `re`, values in it as a letter."""
    function = node.func
    assert isinstance(function, ast.Attribute)
    if not (isinstance(function.value, ast.Name) and function.value.id == "re" and node.args):
        return None
    if function.attr == "escape":
        return None
    given = node.args[0]
    if isinstance(given, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in given.values)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


def _codes(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """Every operation of a parsed pattern, at any depth."""
    waiting = [parsed]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple) and len(item) == 2:
            yield item
        if isinstance(item, (_parser.SubPattern, tuple, list)):
            waiting.extend(item)
