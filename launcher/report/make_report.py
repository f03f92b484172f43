"""A report made of a run's files, and its page written to a file."""

from __future__ import annotations

import time
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.report.build_report import build_report
from curator_slurm.launcher.report.compare_runs import Comparison, compare
from curator_slurm.launcher.report.gather_report import gather_records
from curator_slurm.launcher.report.report_model import RunReport
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.registry import Run, check_readable

SMALL = 200
"""Shards of a run whose report is made without being asked for."""
ROOM = 64 << 20
"""Bytes that must be free for that; a page takes one or two million."""


def report_of(run: Run) -> RunReport:
    """The report, now.

    Raises:
        CuratorSlurmError: the run cannot be read.
    """
    return build_report(gather_records(check_readable(run), time.time()))


def write_page(report: RunReport | Comparison, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: the file cannot be written.
    """
    from curator_slurm.launcher.report.page import page_of, page_of_comparison

    text = page_of_comparison(report) if isinstance(report, Comparison) else page_of(report)
    write_atomic(path, text, mode=0o600, durable=False)


def comparison_of(first: Run, second: Run) -> Comparison:
    """Two runs side by side, now.

    Raises:
        CuratorSlurmError: one of them cannot be read.
    """
    return compare(report_of(first), report_of(second))


def page_path(run: Run) -> Path:
    """report.html in the run directory.

    Raises:
        UsageError: it is somebody else's.
    """
    if not is_own(run.paths.root):
        raise UsageError(f"run {run.run_id} is somebody else's, and nothing is written there; give --output FILE")
    return run.paths.report
