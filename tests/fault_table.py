"""What becomes of a run, whatever happens to it, on the real Slurm: `make faults`, as root.

Each cell of tests/fault_cells.py is a test of tests/on_slurm/test_fault_table.py: a minute or two, some four hours for
all. Results are kept after every cell: what has passed is not run again, unless `--again` says so. They become a page
of the documentation, in which cells that were never run are named as such.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fault_cells
import matrix_rows
from fault_cells import NOTHING, Cell
from matrix_engines import aligned

ROOT = Path(__file__).parents[1]
TESTS = "tests/on_slurm/test_fault_table.py"
RESULTS = ROOT / ".venv-matrix" / "faults.jsonl"
PAGE = ROOT / "docs" / "fault-table.md"
COLUMNS = [
    "fault", "run", "executor", "ended", "restarts", "rows lost", "rows twice", "sources twice", "seconds",
    "seconds lost", "processes", "jobs",
]  # fmt: skip
SECONDS_LOST = "seconds lost"
UNKNOWN = "?"
_NUMBERS = ("restarts", "rows lost", "rows twice", "sources twice", "seconds", "processes", "jobs")
_ZERO = ("rows lost", "rows twice", "processes", "jobs")
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", help="only cells that match, as in pytest")
    parser.add_argument("--again", action="store_true", help="run cells that have passed, too")
    parser.add_argument("--show", action="store_true", help="run nothing, write what is known")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page; what it has of other cells stays")
    options = parser.parse_args()
    if not options.show:
        _run(options.k, keep="" if options.again else matrix_rows.PASSED)
    found = matrix_rows.read(RESULTS)
    made_with, known = read_page(options.output.read_text() if options.output.exists() else "")
    new = [row for result in found.cells.values() for row in result["rows"]]
    rows = together(known, new)
    if found.versions:
        made_with = list(dict.fromkeys([*made_with, ", ".join(f"{name} {it}" for name, it in found.versions.items())]))
    failed = [result for result in found.cells.values() if result["outcome"] not in ("passed", "skipped")]
    options.output.write_text(page(rows, made_with))
    print(f"\n{summary(rows)}; the table is {options.output}")
    for result in failed:
        print(f"{result['cell'].rpartition('::')[2]}: {result['outcome']}  {result['why']}", file=sys.stderr)
    return 1 if failed or bad(rows) or not rows else 0


def _run(keyword: str, *, keep: str) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    environment = {**os.environ, matrix_rows.RESULTS: str(RESULTS), matrix_rows.KEEP: keep}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "matrix_rows", "-o", "faulthandler_timeout=1200"]
    command += ["-m", "faults", TESTS, *(["-k", keyword] if keyword else [])]
    subprocess.run(command, cwd=ROOT, env=environment)


def key(row: Row) -> tuple[str, str, str]:
    """Of the cell that a row is of."""
    return row["fault"], row["run"], row["executor"]


def together(known: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """The newest of each cell, with the seconds that the fault has cost, in the order of the table."""
    newest = {key(row): row for row in (*known, *new)}
    rows = [newest[cell.key] for cell in fault_cells.cells() if cell.key in newest]
    return [{**row, SECONDS_LOST: _seconds_lost(row, newest)} for row in rows]


def _seconds_lost(row: Row, newest: dict[tuple[str, str, str], Row]) -> str:
    """Beside the same run to which nothing happens."""
    quiet = newest.get((NOTHING.name, row["run"], row["executor"]))
    return UNKNOWN if quiet is None else str(max(0, row["seconds"] - quiet["seconds"]))


def bad(rows: Iterable[Row]) -> list[Row]:
    """Rows of cells that lose something, do it twice, or leave something behind."""
    return [row for row in rows if any(row[name] for name in _ZERO)]


def summary(rows: list[Row]) -> str:
    """One sentence."""
    total = len(fault_cells.cells())
    return f"{len(rows)} of {total} cells were run; rows lost, rows twice or something left in {len(bad(rows))} of them"


def not_run(rows: list[Row]) -> list[str]:
    """A line for each fault with cells that nobody has run."""
    done = {key(row) for row in rows}
    left: dict[str, list[Cell]] = {}
    for cell in fault_cells.cells():
        if cell.key not in done:
            left.setdefault(cell.fault.name, []).append(cell)
    return [f"{name}: {'; '.join(_kinds(cells))}" for name, cells in left.items()]


def _kinds(cells: list[Cell]) -> list[str]:
    kinds = dict.fromkeys(cell.kind for cell in cells)
    named = {kind: [cell.executor for cell in cells if cell.kind == kind] for kind in kinds}
    fault = cells[0].fault
    every = Counter(cell.kind for cell in fault_cells.cells() if cell.fault == fault)
    return [f"{kind} ({'all' if len(own) == every[kind] else ', '.join(own)})" for kind, own in named.items()]


def page(rows: list[Row], made_with: list[str]) -> str:
    """The page of the documentation."""
    table = aligned([COLUMNS, *([str(row[column]) for column in COLUMNS] for row in rows)])
    left = not_run(rows)
    lines = [
        "# What becomes of a run, whatever happens to it",
        "",
        "Made by `make faults`; not written by hand. What its columns mean, and how to run more of it:",
        "[contributing](contributing.md#the-fault-table). Made with:",
        "",
        *(f"- {line}" for line in made_with),
        "",
        f"{summary(rows)}.",
        "",
        table,
        *(["", "Not run:", "", *(wrap(f"- {line}") for line in left)] if left else []),
    ]
    return "\n".join(lines) + "\n"


def wrap(text: str) -> str:
    """An item of a list in lines as long as those of the sources."""
    return textwrap.fill(text, 118, subsequent_indent="  ", break_on_hyphens=False)


def read_page(text: str) -> tuple[list[str], list[Row]]:
    """What a page was made with, and its rows."""
    made_with = [line[2:] for line in text.splitlines() if line.startswith("- date ")]
    cells = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    rows = [dict(zip(COLUMNS, line, strict=True)) for line in cells if line != COLUMNS]
    return made_with, [{**row, **{name: int(row[name]) for name in _NUMBERS}} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
