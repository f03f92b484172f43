"""`make screenshots`: reports of real runs of every kind, looked at in a real browser; pictures of them for the docs.

What `report --json`, `status --json`, the page and a plain count of the outputs say must be the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import chromium
import pytest
import reported_runs
import run_dirs
from page_pictures import Looked, look
from report_figures import disagreements, not_on_the_page
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.report.make_report import report_of, write_page
from curator_slurm.launcher.runs.registry import Run
from on_slurm.accidents import ACCIDENTS, Scene
from on_slurm.curated_runs import Curated, published
from on_slurm.runs import SMALL, WAIT_S, Runs

pytestmark = pytest.mark.screenshots
own_home = run_dirs.own_home
EXAMPLES = Path(__file__).parents[2] / "examples"
BACKENDS = ("xenna", "ray_data", "ray_actor_pool")
ONE_NODE = {**SMALL, "nodes": 1}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.browser() as found:
        yield found


def seen(
    runs: Runs, browser: Any, kind: str, pictures: Mapping[str, str] | None = None
) -> tuple[Looked, dict[str, Any]]:
    """The page of the newest run, opened, with what it must say; and the report as JSON."""
    run_id, page = runs.latest().name, runs.folder / "page.html"
    done = runs.command("report", run_id, "--output", str(page), "--json")
    assert done.returncode == 0, done.output
    page.write_text(page.read_text().replace(str(runs.folder), "/shared"))
    looked, report = look(browser, page, kind, pictures), done.json
    print(f"{kind}: {page.stat().st_size / 1e6:.2f} MB; {dict(looked.tiles)}; limit: {report['limit']}", flush=True)
    return looked, report


def assert_all_agrees(runs: Runs, looked: Looked, report: Mapping[str, Any]) -> None:
    """Of a run that has published its outputs."""
    outputs = runs.latest() / "outputs"
    assert disagreements(report, runs.status(runs.latest().name), outputs) == []
    assert not_on_the_page(report, looked) == []


def assert_is_there_once(runs: Runs, curated: Curated) -> None:
    documents = published(runs.latest() / "outputs")
    assert sorted(documents) == sorted(curated.expected())


@pytest.mark.parametrize("backend", BACKENDS)
def test_three_nodes(backend: str, runs: Runs, browser: Any) -> None:
    curated = Curated(runs, 120)
    done = runs.run(curated.spec(backend))
    assert done.returncode == 0, done.output
    pictures = {"nodes": "nodes"} if backend == "xenna" else None
    looked, report = seen(runs, browser, f"three nodes on {backend}", pictures)
    assert_is_there_once(runs, curated)
    assert_all_agrees(runs, looked, report)
    assert {each["node"] for each in report["measured"]["nodes"]} == {"n1", "n2", "n3"}
    assert report["limit"]["stage"] in ("quality filter", None), report["limit"]  # None: the start took longer


@pytest.mark.parametrize("backend", BACKENDS)
def test_failures_and_a_lost_node(backend: str, runs: Runs, browser: Any) -> None:
    """One task in twenty fails, and a worker loses its power on the way; a report is made before that, too."""
    curated = Curated(runs, 160, broken=True)
    run_id = runs.submit(curated.spec(backend, cluster={"min_nodes": 2}))["run_id"]
    run = runs.latest()
    wait_for("work on its way", lambda: _finished(run) >= 20, WAIT_S)
    looked, report = seen(runs, browser, f"going on, {backend}")
    assert (report["status"]["state"], report["status"]["ended"]) == ("running", None)
    assert "running for" in looked.tiles
    assert not_on_the_page(report, looked) == []
    with ExitStack() as after:
        ACCIDENTS["power cut of a worker"](Scene(runs.cluster, run, run, after=after))
        done = runs.watch(run_id)
        assert done.returncode == 0, done.output
        pictures = {"funnel": "funnel", "time": "time"} if backend == "ray_actor_pool" else None
        looked, report = seen(runs, browser, f"losses on {backend}", pictures)
    assert_is_there_once(runs, curated)
    assert_all_agrees(runs, looked, report)
    judged = next(each for each in report["funnel"]["stages"] if each["stage"] == "quality filter")
    assert judged["tasks_failed"] == curated.failing() == 8
    (group,) = report["failures"]["groups"]
    assert (group["stage"], group["tasks"]) == ("quality filter", 8)
    assert "cannot be judged" in group["error"]


def _finished(run: Path) -> int:
    """Tasks that the quality filter has put out so far."""
    counts = 0
    for path in run.glob("attempts/*/*/progress.json"):
        stages = json.loads(path.read_text()).get("stages") or []
        counts += sum(each["tasks_out"] for each in stages if each["name"] == "quality filter")
    return counts


def test_twelve_shards_with_two_restarts(runs: Runs, browser: Any) -> None:
    """Of three jobs with four shards each, one is requeued twice."""
    curated = Curated(runs, 96, name="twelve", workers=2)
    shards = {"count": 12, "per_element": 4}
    spec = curated.spec("ray_actor_pool", resources=ONE_NODE, shards=shards, restart={"backoff_s": 1})
    run_id = runs.submit(spec)["run_id"]
    run = runs.latest()
    for restart in range(2):
        wait_for("a shard to be done", partial(_is_at_work, run, restart), WAIT_S)
        runs.cluster.run(["scontrol", "requeue", f"{runs.status(run_id)['job_id']}_0"], user=None, check=True)
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    looked, report = seen(runs, browser, "twelve shards", {"shards": "shards"})
    assert_is_there_once(runs, curated)
    assert_all_agrees(runs, looked, report)
    assert len(list(run.glob("elements/*_0.[0-9]"))) == 3
    assert report["funnel"]["shards"] == 12
    with_figures = [attempt for attempt in run.glob("attempts/*/*_*.*") if _stages(attempt)]
    assert report["funnel"]["attempts"] == len(with_figures) >= 12  # a shard may come to its end while it drains


def _is_at_work(run: Path, restart: int) -> bool:
    """Whether that start of the first element works at a shard; the first one, after it has done another."""
    attempts = sorted(run.glob(f"attempts/*/*_0.{restart}"))
    return len(attempts) >= 2 - restart and any(
        each["tasks_out"] for each in _stages(attempts[-1]) if each["name"] == "quality filter"
    )


def _stages(attempt: Path) -> list[dict[str, Any]]:
    path = attempt / "progress.json"
    return (json.loads(path.read_text()).get("stages") or []) if path.exists() else []


def test_runs_that_came_to_nothing(runs: Runs, browser: Any) -> None:
    """One that fails, one that is cancelled at work, one that is cancelled in the queue."""
    failing = Curated(runs, 20, name="failing", broken=True)
    spec = failing.spec("ray_actor_pool", resources=ONE_NODE, failures={"on_task_error": "fail"})
    assert runs.run(spec).returncode == 6
    looked, report = seen(runs, browser, "failed")
    assert report["status"]["failure_class"] == "app_failed"
    assert not_on_the_page(report, looked) == []
    stopped = Curated(runs, 60, name="stopped")
    run_id = runs.submit(stopped.spec("ray_actor_pool", resources=ONE_NODE))["run_id"]
    wait_for("work on its way", lambda: _finished(runs.latest()) >= 3, WAIT_S)
    assert runs.command("cancel", run_id).returncode == 0
    runs.job_is_over()
    looked, report = seen(runs, browser, "cancelled at work")
    assert report["status"]["state"] == "cancelled"
    assert not_on_the_page(report, looked) == []
    waiting = Curated(runs, 4, name="waiting")
    held = {**ONE_NODE, "sbatch": {"hold": True}}
    run_id = runs.submit(waiting.spec("ray_actor_pool", resources=held))["run_id"]
    seen(runs, browser, "in the queue")
    assert runs.command("cancel", run_id).returncode == 0
    looked, report = seen(runs, browser, "cancelled in the queue")
    assert (report["status"]["state"], report["funnel"]["stages"]) == ("cancelled", [])


def test_advice_that_is_followed_takes_less(runs: Runs) -> None:
    """Of memory, nodes and time, by what Slurm has accounted for and by what was measured; the rows are the same."""
    curated = Curated(runs, 40, name="wide", workers=2)
    wide = {**SMALL, "nodes": 2, "cpus_per_node": 4, "mem_per_node": "4G", "time": 60}  # more CPUs than are there
    done = runs.run(curated.spec("ray_actor_pool", resources=wide))
    assert done.returncode == 0, done.output
    first = runs.latest()
    advice = runs.command("advise", first.name, "--json").json["advice"]
    assert {"resources.mem_per_node", "resources.nodes", "resources.time"} <= {each["key"] for each in advice}, advice
    done = runs.command("submit", str(runs.folder / "spec.yaml"), "--like", first.name, "--watch")
    assert done.returncode == 0, done.output
    second = runs.latest()
    assert second != first
    documents = [sorted(published(run / "outputs")) for run in (first, second)]
    assert documents == [sorted(curated.expected())] * 2
    before, after = (runs.command("report", run.name, "--json").json for run in (first, second))
    given = [megabytes(runs, str(each["status"]["job_id"])) for each in (before, after)]
    hours = [each["costs"]["usage"]["node_hours"] for each in (before, after)]
    print(f"advice: {advice}; MB by Slurm's accounting: {given}; node-hours: {hours}", flush=True)
    assert given[1] <= given[0] / 2
    assert given[1] * hours[1] < given[0] * hours[0]
    assert after["costs"]["memory_peak"] <= after["costs"]["memory_asked"] < before["costs"]["memory_asked"]


def megabytes(runs: Runs, job: str) -> int:
    """What Slurm's accounting says that the job had, on all of its nodes."""
    asked = runs.cluster.run(["sacct", "-nXP", "-j", job, "-o", "AllocTRES"], check=True).stdout
    size, unit = re.search(r"mem=([0-9.]+)([MGT])", asked).groups()  # type: ignore[union-attr]
    return round(float(size) * {"M": 1, "G": 1024, "T": 1024**2}[unit])


def test_a_run_that_keeps_nothing(runs: Runs, browser: Any) -> None:
    empty = Curated(runs, 2, name="empty")
    spec = empty.spec("ray_actor_pool", resources=ONE_NODE)
    for path in (runs.folder / "empty-in").glob("*.jsonl"):
        path.write_text('{"id": "1", "text": "too short"}\n')
    done = runs.run(spec)
    assert done.returncode == 0, done.output
    looked, report = seen(runs, browser, "nothing kept")
    assert_all_agrees(runs, looked, report)
    assert report["funnel"]["rows"] == 0
    assert published(runs.latest() / "outputs") == []


MADE = {"10,000 shards": lambda folder: reported_runs.many_shards(folder, 10_000), "never started": run_dirs.new_run}


@pytest.mark.usefixtures("fake_slurm", "own_home")
@pytest.mark.parametrize("kind", MADE)
def test_runs_made_by_helpers(kind: str, browser: Any, tmp_path: Path) -> None:
    run: Run = MADE[kind](tmp_path)
    page = run.paths.root / "page.html"
    write_page(report_of(run), page)
    page.write_text(page.read_text().replace(str(tmp_path), "/shared"))
    look(browser, page, kind)
    assert page.stat().st_size < 3_000_000


def test_the_quickstart(runs: Runs, browser: Any) -> None:
    options = ["--set", f"resources={json.dumps(ONE_NODE)}"]
    done = runs.command("run", str(EXAMPLES / "quickstart.yaml"), *options)
    assert done.returncode == 0, done.output
    looked, report = seen(runs, browser, "quickstart", {"report": "top"})
    statistics = json.loads((runs.latest() / "outputs" / "statistics.json").read_text())
    assert report["funnel"]["stages"][-2]["items_out"] == statistics["documents_kept"]
    assert not_on_the_page(report, looked) == []
