"""A pytest plug-in for tests/matrix.py: what became of each cell, a line at once, so that a run can be gone on with.

The environment names the file, and which cells are not run again (`CURATOR_SLURM_MATRIX_KEEP`): those that have passed
before, or all.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

RESULTS = "CURATOR_SLURM_MATRIX_RESULTS"
KEEP = "CURATOR_SLURM_MATRIX_KEEP"
PASSED, ALL = "passed", "all"
ROW = "row of the failure matrix"
"""The name of the property (fixture `record_property`) that a cell gives its row in."""
ENGINE = "back end of a test"
"""The name of the property of a test without a row."""


@dataclass
class Found:
    """What the file says."""

    asked: list[str] = field(default_factory=list)
    """The cells that the last run was to show."""
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest result of each: `outcome`, `rows`, `why`, and `backend` where it is a test that gives no row."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> set[str]:
        return {cell for cell, result in self.cells.items() if result["outcome"] == "passed"}


def read(path: Path) -> Found:
    """The results so far; a line that was cut off is left out."""
    found = Found()
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if "asked" in entry:
                found.asked, found.versions = entry["asked"], entry["versions"]
            else:
                found.cells[entry["cell"]] = entry
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    nothing_here = [item for item in items if "[NOTSET" in item.nodeid]  # no back end has such a cell
    if nothing_here:
        config.hook.pytest_deselected(items=nothing_here)
        items[:] = [item for item in items if item not in nothing_here]
    for item in items:
        if "record_property" not in getattr(item, "fixturenames", ()):
            backend = item.callspec.params.get("backend") if hasattr(item, "callspec") else None
            item.user_properties.append((ENGINE, backend))
    _write({"asked": [item.nodeid for item in items], "versions": _versions()})
    keep = os.environ.get(KEEP)
    kept = {item.nodeid for item in items} if keep == ALL else read(Path(os.environ[RESULTS])).passed if keep else set()
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in kept])
    items[:] = [item for item in items if item.nodeid not in kept]


class _Cells:
    """Parts of a test (its fixtures, itself, their end) make one result: the worst of them."""

    def __init__(self) -> None:
        self._outcome = "passed"
        self._why = ""

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self._outcome = report.outcome
            self._why = str(report.longrepr).strip().splitlines()[-1] if report.longrepr else ""
        if report.when == "teardown":
            rows = [row for name, row in report.user_properties if name == ROW]
            backend = next((value for name, value in report.user_properties if name == ENGINE), None)
            result = {"cell": report.nodeid, "outcome": self._outcome, "why": self._why, "rows": rows}
            _write({**result, **({"backend": backend} if backend else {})})
            self._outcome, self._why = "passed", ""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Cells(), "matrix-cells")


def _write(entry: dict[str, Any]) -> None:
    with Path(os.environ[RESULTS]).open("a") as file:
        file.write("\n" + json.dumps(entry))  # a line of its own also after one that was cut off


def _versions() -> dict[str, str]:
    return {
        "date": date.today().isoformat(),
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("ray", "cosmos-xenna")},
    }
