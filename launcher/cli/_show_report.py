"""What `report` prints and writes, and the report that `run` and `watch` leave at the end of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.files import expanded
from curator_slurm.launcher.report.compare_runs import Comparison
from curator_slurm.launcher.report.make_report import ROOM, SMALL, comparison_of, page_path, report_of, write_page
from curator_slurm.launcher.report.report_model import RunReport
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.views import to_json


def show_report(run: Run, output: Path | None, *, opens: bool, as_json: bool) -> None:
    """Make the report, and the page unless JSON alone was asked for."""
    page = partial(page_path, run) if opens or not as_json else None
    _show(report_of(run), _target(output, page), opens=opens, as_json=as_json)


def show_comparison(first: Run, second: Run, output: Path | None, *, opens: bool, as_json: bool) -> None:
    """The same of two runs."""
    page = partial(Path, "comparison.html") if opens or not as_json else None
    _show(comparison_of(first, second), _target(output, page), opens=opens, as_json=as_json)


def _target(output: Path | None, page: Callable[[], Path] | None) -> Path | None:
    """Where the page goes: to `output` if that was given, else where one is, if any is wanted."""
    path = expanded(output) if output is not None else page() if page is not None else None
    return path.absolute() if path is not None else None


def _show(report: RunReport | Comparison, path: Path | None, *, opens: bool, as_json: bool) -> None:
    if path is not None:
        write_page(report, path)
    if as_json:
        say_json(to_json(report))
    elif path is not None:
        say(str(path))
    if opens and path is not None:
        _open(path)


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.as_uri()):
        say(f"No browser can be started here; copy {path} to your machine and open it there.", err=True)


def export_run(run: Run, path: Path) -> None:
    """Write the Parquet file."""
    from curator_slurm.launcher.report.export import export_measurements

    target = expanded(path).absolute()
    rows = export_measurements(run, target)
    say(f"{several(rows, 'row')} in {target}", err=True)


def leave_report(run: Run) -> Path | None:
    """Write the page of a run that has ended beside its files; None where that is not to be, or does not work.

    Nobody has asked for it: what goes wrong is no failure of the command, large runs are left alone, and what little
    room there is on full storage is left to a retry.
    """
    if run.record is None or run.record.shards > SMALL:
        return None
    try:
        path = page_path(run)
        if shutil.disk_usage(path.parent).free < ROOM:
            return None
        write_page(report_of(run), path)
    except CuratorSlurmError:
        return None
    except (OSError, ValueError) as error:
        why = storage_errors.what(error) if isinstance(error, OSError) else str(error)
        say(f"Note: no report was written: {why}", err=True)
        return None
    return path
