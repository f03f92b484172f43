"""Pages of reports in a real Chromium: everything is drawn, nothing is asked for, everybody can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
import reported_runs
import run_dirs

from curator_slurm.launcher.report.make_report import comparison_of, report_of, write_page
from curator_slurm.launcher.runs.registry import Run

own_home = run_dirs.own_home
pytestmark = [pytest.mark.usefixtures("fake_slurm", "own_home"), pytest.mark.long]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.browser() as found:
        yield found


def page_of_run(run: Run) -> Path:
    path = run.paths.root / "page.html"
    write_page(report_of(run), path)
    return path


def failed_run(folder: Path) -> Run:
    run = reported_runs.measured_run(folder)
    run.paths.done(0).unlink()
    reported_runs.finished_attempt(
        run, "4712", reported_runs.T0 + 200, reported_runs.T0 + 300, state="failed", failure_class="app_failed",
        message="the pipeline failed: ValueError: no", evidence=["Traceback", "ValueError: no"], exit_code=1,
    )  # fmt: skip
    return run


RUNS = {
    "completed": reported_runs.measured_run,
    "failed": failed_run,
    "never started": run_dirs.new_run,
    "many shards": lambda folder: reported_runs.many_shards(folder, 300),
}


@pytest.mark.parametrize("kind", RUNS)
def test_pages_are_drawn_offline_at_any_width_in_both_colours(browser: Any, tmp_path: Path, kind: str) -> None:
    page = page_of_run(RUNS[kind](tmp_path))
    for width, scheme in ((375, "dark"), (1440, "light")):
        with chromium.opened(browser, page, width, scheme) as (tab, seen):
            assert chromium.wrong_with(tab, seen, page, width) == []
            assert len(seen.marks) >= {"never started": 0, "many shards": 3}.get(kind, 8)


def test_two_runs_beside_each_other(browser: Any, tmp_path: Path) -> None:
    runs = reported_runs.measured_run(tmp_path / "a"), failed_run(tmp_path / "b")
    page = tmp_path / "comparison.html"
    write_page(comparison_of(*runs), page)
    with chromium.opened(browser, page, 375) as (tab, seen):
        assert chromium.wrong_with(tab, seen, page, 375) == []
        assert set(seen.marks) == {"picture-time", "picture-items"}


def test_it_can_be_used_by_keyboard_and_printed(browser: Any, tmp_path: Path) -> None:
    page = page_of_run(reported_runs.measured_run(tmp_path))
    with chromium.opened(browser, page, 1000) as (tab, seen):
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        tab.keyboard.press("Enter")
        tab.focus("summary")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.querySelector('details').open")
        cells = tab.evaluate("document.querySelectorAll('#picture-nodes svg path').length")
        tab.focus("select")
        tab.keyboard.press("ArrowDown")
        tab.wait_for_function("document.querySelector('select').value === '1'")
        assert tab.evaluate("document.querySelectorAll('#picture-nodes svg path').length") >= cells / 2
        tab.emulate_media(media="print")
        tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert tab.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
        assert len(tab.evaluate("() => document.querySelector('#picture-funnel svg').outerHTML")) > 500
        assert tab.pdf().startswith(b"%PDF")
        tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert not tab.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
        assert seen.said == []
