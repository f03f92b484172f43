"""The page of a report: whole, safe, with nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import reported_runs
import run_dirs
from hostile import MULTI_LINE_VALUES, ONE_LINE_VALUES
from reported_runs import T0

from curator_slurm.launcher.files import append_jsonl, write_json
from curator_slurm.launcher.report.make_report import report_of
from curator_slurm.launcher.report.page import page_of
from curator_slurm.launcher.report.page_sections import tiles_of
from curator_slurm.launcher.report.page_tables import attempts_table
from curator_slurm.launcher.report.pictures import node_picture
from curator_slurm.launcher.report.stage_labels import stage_labels
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState

pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")
own_home = run_dirs.own_home
PAGE = Path(__file__).parents[3] / "launcher" / "report" / "page"


class Elements(HTMLParser):
    """What elements a page has, and the text of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.whole: list[tuple[str, str]] = []
        """Text of each cell, and its class."""
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_cell = tag in ("td", "th")
        self._class = dict(attrs).get("class") or ""

    def handle_data(self, data: str) -> None:
        if self._in_cell and data.strip():
            self.cells.append(data.strip())
            self.whole.append((data.strip(), self._class))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return reported_runs.measured_run(tmp_path)


def pictures(page: str) -> dict[str, Any]:
    [text] = re.findall(r'<script type="application/json" id="pictures">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def test_nothing_is_loaded_from_elsewhere(run: Run) -> None:
    elements = Elements(page_of(report_of(run)))
    links = {value for _, attributes in elements.tags for name, value in attributes.items() if name in ("src", "href")}
    assert all(link and (link.startswith("#") or link == "data:,") for link in links), links
    [policy] = [each for each in elements.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy["content"]).startswith("default-src 'none'")
    assert not re.search(r"url\(|@import", (PAGE / "report.css").read_text())


def test_every_picture_has_a_place_a_caption_and_a_table(run: Run) -> None:
    page = page_of(report_of(run))
    elements = Elements(page)
    names = set(pictures(page))
    assert names == {"funnel", "timeline", "rate", "queued", "workers", "busy", "task-times", "nodes"}
    assert {f"picture-{name}" for name in names} <= {each.get("id") for each in elements.named("div")}
    assert len(elements.named("figcaption")) == len(elements.named("figure")) == len(names)
    assert page.count("The figures of this picture") == len(names)
    for cell in ("quality <filter>", "54%", "4711.0", "2.0 GiB"):
        assert any(cell in each for each in elements.cells), cell


@pytest.mark.parametrize("text", [*ONE_LINE_VALUES[:12], *MULTI_LINE_VALUES[:3], "\x1b[2J\u202e"])
def test_text_of_others_stays_text(tmp_path: Path, text: str) -> None:
    run = run_dirs.submitted_run(tmp_path)
    attempt = run_dirs.new_attempt(run)
    stages = [{**stage, "name": f"{text}</script><script>alert(1)</script>"} for stage in run_dirs.STAGES]
    run_dirs.progress(attempt, stages=stages)
    run_dirs.outcome(attempt, "failed", message=f"{text}<img src=x>", evidence=[f"<b>{text}"])
    page = page_of(report_of(run))
    elements = Elements(page)
    assert not elements.named("img")
    assert not elements.named("b")
    assert len(elements.named("script")) == 3
    assert "\x1b" not in page
    assert isinstance(pictures(page), dict)


def test_no_text_of_others_gets_into_pictures(tmp_path: Path) -> None:
    """An override of the writing direction would turn the names of stages around there, too."""
    page = page_of(report_of(odd_names(tmp_path)))
    names = [one["name"] for one in pictures(page)["rate"]["series"]]
    assert names == [r"\u202eevil\x07", "quality <filter>", "writer"]
    assert [one["name"] for one in pictures(page)["task-times"]["series"]] == names


def odd_names(folder: Path) -> Run:
    run = reported_runs.measured_run(folder)
    for path in [*run.paths.root.rglob("progress.json"), *run.paths.root.rglob("metrics.jsonl")]:
        path.write_text(path.read_text().replace('"reader"', '"\\u202eevil\\u0007"'))
    return run


def test_stages_of_several_pipelines_or_of_one_name_are_told_apart(run: Run) -> None:
    report = report_of(run)
    first, *others = report.measured.stages
    twice = [first, replace(first, pipeline="q"), replace(others[0], stage="reader"), *others]
    assert stage_labels(report.measured.stages) == ["reader", "quality <filter>", "writer"]
    assert stage_labels(twice) == ["p: reader", "q: reader", "p: reader (2)", "quality <filter>", "writer"]
    measured = replace(report.measured, stages=tuple(twice))
    page = page_of(replace(report, measured=measured))
    for name in ("rate", "queued", "workers", "busy", "task-times"):
        assert [one["name"] for one in pictures(page)[name]["series"]] == stage_labels(twice), name
    assert Elements(page).cells.count("q: reader") == 6  # over the whole run, each of four figures, task times


def test_what_an_executor_does_not_tell_is_said_and_not_drawn(run: Run) -> None:
    """As NeMo Curator's own do: nobody knows how many workers their stages have."""
    (attempt,) = run.paths.existing_attempts()
    lines = [json.loads(line) for line in attempt.metrics.read_text().splitlines()]
    kept = [{name: value for name, value in line.items() if name != "workers"} for line in lines]
    attempt.metrics.write_text("".join(json.dumps(line) + "\n" for line in kept))
    report = report_of(run)
    assert (report.limit.stage, report.limit.reason.partition(":")[0]) == (None, "not known")
    assert report.limit.evidence[0] == "all workers of quality <filter> together worked for 114.0 s"
    page = page_of(report)
    assert {"rate", "queued"} <= set(pictures(page))
    assert not {"workers", "busy"} & set(pictures(page))
    assert "does not tell: workers of each stage; share of the time" in page


def test_long_texts_are_no_figures(tmp_path: Path) -> None:
    """Which stand at the right, and on one line."""
    run = reported_runs.many_shards(tmp_path, 3)
    run.paths.done(1).unlink()
    (outcome,) = (run.paths.attempts / "00001").glob("*/outcome.json")
    failed = {"state": "failed", "failure_class": "app_failed", "message": "a long message " * 30, "exit_code": 1}
    write_json(outcome, {**json.loads(outcome.read_text()), **failed})
    (attempt,) = (each for each in run.paths.existing_attempts() if each.shard == 2)
    reported_runs.failed_lines(attempt, 3)
    figures = [text for text, attributes in Elements(page_of(report_of(run))).whole if "figure" in attributes]
    assert len(figures) > 50
    assert max(map(len, figures)) < 25


def test_a_node_is_drawn_from_when_it_began(run: Run) -> None:
    """As one of a later start of a job."""
    first, second = report_of(run).measured.nodes
    late = replace(second, times=tuple(at + 60 for at in second.times))
    picture = node_picture([first, late])
    assert picture is not None
    begun = [next(at for at, value in enumerate(row) if value is not None) for row in picture["figures"][0]["cells"]]
    assert begun[0] == 0
    assert 0.4 < begun[1] / len(picture["bins"]) < 0.6


def test_a_run_that_goes_on_says_so(run: Run) -> None:
    report = report_of(run)
    assert dict(tiles_of(report))["items left"] == "650 (54%)"
    going = replace(report, status=replace(report.status, state=RunState.RUNNING, ended=None), made=T0 + 80)
    assert dict(tiles_of(going)) | {"running for": "1m 00s", "items out so far": "650"} == dict(tiles_of(going))
    assert "items left" not in dict(tiles_of(going))
    assert "The run goes on: this page shows how far it had come." in page_of(going)
    assert "The run goes on" not in page_of(report)


def test_what_proves_a_failure_is_unfolded(tmp_path: Path) -> None:
    run = run_dirs.submitted_run(tmp_path)
    run_dirs.outcome(run_dirs.new_attempt(run), "failed", failure_class="app_failed", evidence=["ValueError: no"])
    page = page_of(report_of(run))
    assert "Failure class: app_failed; to blame: application." in page
    assert re.search("<details open><summary>The lines that prove it</summary><pre[^>]*>ValueError: no", page)


def test_gpus_are_spoken_of_where_there_are_any(run: Run) -> None:
    report = report_of(run)
    assert "GPU-hours" not in page_of(report)
    costs = replace(report.costs, gpu_hours=2.0, gpu_hours_busy=0.5)
    assert "75% idle" in page_of(replace(report, costs=costs))


def test_columns_of_task_times_say_up_to_when(run: Run) -> None:
    assert pictures(page_of(report_of(run)))["task-times"]["columns"] == ["≤ 500 ms", "≤ 2 s"]


def test_finished_sources_are_shown_where_any_attempt_counts_them(run: Run) -> None:
    report = report_of(run)
    assert attempts_table(report).rows[0][-1] == "-"
    counted = replace(report.attempts[0], sources_finished=1200)
    assert attempts_table(replace(report, attempts=(counted,))).rows[0][-1] == "1,200"


def test_documents_are_shown_once_as_text(run: Run) -> None:
    attempt = next(iter(run.paths.existing_attempts()))
    for by, kept, words in (("f", True, "good"), ("f", False, "<b>bad</b>\x1b[2J\u202e"), ("f", True, "good")):
        line = {"pipeline": "p", "stage": "filter", "position": 1, "by": by, "kept": kept, "why": "0.3"}
        append_jsonl(attempt.samples, {**line, "fields": {"text": words}})
    for damaged in ({"stage": 1}, {"stage": "s", "by": "f", "kept": 1, "fields": {}}, {"stage": "s", "by": "f"}, []):
        append_jsonl(attempt.samples, damaged)  # type: ignore[arg-type]
    report = report_of(run)
    assert [(each.by, each.kept, each.why) for each in report.funnel.documents] == [
        ("f", False, "0.3"), ("f", True, "0.3"),
    ]  # fmt: skip
    page = page_of(report)
    elements = Elements(page)
    assert not elements.named("b")
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert {"filter: f", "kept", "dropped", "text: good"} <= set(elements.cells)


def test_a_run_that_has_not_started_has_a_page(tmp_path: Path) -> None:
    page = page_of(report_of(run_dirs.new_run(tmp_path)))
    assert "What ran" in page
    assert "unknown" not in page.partition("<script")[0], "neither a class of failure nor who is to blame"
    assert pictures(page) == {}


def test_the_library_is_the_one_that_its_page_names() -> None:
    said = (PAGE / "echarts" / "README.md").read_text()
    assert hashlib.sha256((PAGE / "echarts" / "echarts.min.js").read_bytes()).hexdigest() in said
    assert "Apache License" in (PAGE / "echarts" / "LICENSE").read_text()


def test_a_page_of_many_shards_is_small(tmp_path: Path) -> None:
    page = page_of(report_of(reported_runs.many_shards(tmp_path, 400)))
    without = page_of(report_of(run_dirs.new_run(tmp_path)))
    assert len(page) < 3_000_000 * 400 / 10_000 + len(without)
    assert {"shards", "sizes"} <= set(pictures(page))
