"""The second table of tests/matrix.py: tests that every back end must pass, and with which versions each did.

A result is a test, a back end, what it ran with (a cosmos-xenna, or the Python of the others), and its outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BACKENDS = ["xenna", "xenna-batch", "ray_data", "ray_actor_pool"]
PASSED = "passed"
_NOTHING = "-"


@dataclass(frozen=True, order=True)
class Result:
    test: str
    backend: str
    version: str
    outcome: str = PASSED


def test_name(cell: str, backend: str) -> str:
    """A test without its back end: `backends: everything may be filtered`."""
    path, _, function = cell.partition("::")
    name, _, inside = function.removesuffix("]").partition("[")
    others = f"-{inside}-".replace(f"-{backend}-", "-", 1).strip("-")
    words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"{Path(path).stem.removeprefix('test_').replace('_', ' ')}: {words}{f' ({others})' if others else ''}"


def together(known: Iterable[Result], new: Iterable[Result]) -> list[Result]:
    """The newest of each, in order."""
    newest = {(each.test, each.backend, each.version): each for each in (*known, *new)}
    return sorted(newest.values())


def summary(results: list[Result]) -> str:
    """One sentence."""
    bad = sum(each.outcome != PASSED for each in results)
    tests = len({each.test for each in results})
    return f"{tests} tests of every back end, {len(results)} results; not passed: {bad}"


def table(results: list[Result]) -> str:
    """A line for each test: with what each back end passed it."""
    lines = [["test", *BACKENDS]]
    for test in sorted({each.test for each in results}):
        of_test = [each for each in results if each.test == test]
        cells = [[_version(each) for each in of_test if each.backend == backend] for backend in BACKENDS]
        lines.append([test.replace("|", "/"), *(", ".join(sorted(cell)) or _NOTHING for cell in cells)])
    return aligned(lines)


def aligned(lines: list[list[str]]) -> str:
    """A table, its head first, that reads well as text and as Markdown."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rest])


def _version(result: Result) -> str:
    return result.version if result.outcome == PASSED else f"{result.version} {result.outcome}"


def read_table(lines: list[str]) -> list[Result]:
    """The results that a table has, from its lines that begin with `| `."""
    results = []
    for line in lines:
        test, *cells = [part.strip() for part in line.split("|")[1:-1]]
        for backend, cell in zip(BACKENDS, cells, strict=True):
            for each in [] if cell in ("", _NOTHING) else cell.split(", "):
                version, _, outcome = each.partition(" ")
                results.append(Result(test, backend, version, outcome or PASSED))
    return [result for result in results if result.test != "test"]
