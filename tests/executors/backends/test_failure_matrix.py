"""What becomes of rows: every back end, every mishap, both policies. `make matrix` runs all of it and prints a table.

A cell passes if every row that went in has come out once or is recorded as failed, or if the run says why it failed.
As a part of the test suite, each mishap that no other test of the executors has runs in one cell.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engines import ASKED, FULL, engines, in_full
from matrix_rows import ROW
from mishaps import (
    BAD,
    Deflate,
    Inflate,
    Mishap,
    Slowly,
    UntilElsewhere,
    can_run_out_of_memory,
    remove_groups,
    small_node,
)
from ray_nodes import RayNodes, wait_for_lines
from ray_runs import MARKS, new_mark, wait_for_no_marked, wait_for_no_workers
from xenna_ray import TestRay, python_path, start_ray
from xenna_stages import Step, numbers

from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.task_failures import StageError, WorkerLostError
from curator_slurm.executors.tasks import assign_root_task_ids

pytestmark = [*MARKS, pytest.mark.matrix]

Record = Callable[[str, object], None]
MODES = [*ASKED, *(["xenna batch"] if FULL and "xenna" in ASKED else [])]
"""Back ends, and the other execution mode of one, which nothing but the whole table tries."""
ENDINGS = ["raise SystemExit(0)", "raise RuntimeError", "os.kill(os.getpid(), signal.SIGKILL)"]
ROWS = 20
NO_GROUPS = "needs root and control groups (version 1) with a memory limit"


@dataclass(frozen=True)
class Cell:
    """One mishap under one policy; `once` if it happens the first time only."""

    happening: str
    policy: str
    once: bool = False
    retries: int = 0

    def __str__(self) -> str:
        return f"{self.happening}{', once' if self.once else ''}, {self.policy}"


_HANGS = ("hang", "hang in C")
_DEATHS = ("SIGKILL", "segfault", "OOM", "exit")
ALWAYS = [
    Cell(what, policy) for what in ("raise", "garbage", "unsendable", *_DEATHS, *_HANGS) for policy in ("skip", "fail")
]
ONCE = [Cell(what, policy, once=True) for what in _DEATHS for policy in ("skip", "fail")]
ONCE += [Cell("raise", policy, once=True, retries=1) for policy in ("skip", "fail")]
SETUP = [
    Cell(what, policy)
    for what in ("raise in setup", "raise in setup_on_node", "exit in setup")
    for policy in ("skip", "fail")
]
OF_THE_SUITE = [
    ("ray_data", Cell("garbage", "skip")),
    ("xenna", Cell("unsendable", "skip")),
    ("ray_actor_pool", Cell("segfault", "fail", once=True)),
    ("xenna", Cell("OOM", "skip", once=True)),
    ("ray_actor_pool", Cell("exit in setup", "skip")),
]
_MONITORED = [Cell("OOM by Ray", policy, once=once) for policy in ("skip", "fail") for once in (False, True)]


def _cases(cells: list[Cell], of_the_suite: list[tuple[str, Cell]]) -> list[Any]:
    """Every back end with every cell, or those of the test suite."""
    pairs = list(itertools.product(MODES, cells)) if FULL else of_the_suite
    return [pytest.param(backend, cell, id=f"{backend}-{cell}") for backend, cell in pairs]


@pytest.mark.parametrize(("backend", "cell"), _cases([*ALWAYS, *ONCE, *SETUP], OF_THE_SUITE))
def test_rows_after(
    backend: str,
    cell: Cell,
    two_cpus: TestRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    if cell.happening == "OOM" and not can_run_out_of_memory():
        pytest.skip(NO_GROUPS)
    failures = _environment(two_cpus, tmp_path, monkeypatch)
    group = f"curator-slurm-test-{uuid.uuid4().hex[:12]}"
    once = tmp_path / "once" if cell.once else None
    stages = [Step("before", 2, cpus=0.5), Mishap("mishap", cell.happening, once, group=group)]
    config: dict[str, Any] = {"on_task_error": cell.policy, "task_retries": cell.retries}
    if cell.happening in _HANGS:
        config["task_timeout_s"] = 0.5
    ends_run = " in setup" in cell.happening or (cell.policy == "fail" and not cell.once)
    outputs, error = _run(backend, [*stages, Step("after", cpus=0.5)], ROWS, config)
    kernel_kills = remove_groups(group)
    failed = _failed(failures)
    row = _row(record_property, backend, _named(cell), cell.policy, ROWS, outputs, failed, error)
    if ends_run:
        assert isinstance(error, (StageError, WorkerLostError)), row
        assert "'mishap'" in str(error)
        assert " in setup" in cell.happening or f"0_{BAD}_0" in str(error)
    else:
        _assert_nothing_lost(row, cell, failed, error)
    assert (kernel_kills > 0) == (cell.happening == "OOM")
    wait_for_no_workers(two_cpus)


@pytest.fixture(scope="module")
def short_of_memory() -> Iterator[TestRay]:
    if not can_run_out_of_memory():
        pytest.skip(NO_GROUPS)
    with small_node() as (group, settings), start_ray(2, env=settings, store_mb=200, memory_group=group) as ray:
        yield ray


@pytest.mark.parametrize(("backend", "cell"), _cases(_MONITORED, [("ray_actor_pool", _MONITORED[1])]))
def test_rows_after_rays_memory_monitor_kills(
    backend: str,
    cell: Cell,
    short_of_memory: TestRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    failures = _environment(short_of_memory, tmp_path, monkeypatch)
    once = tmp_path / "once" if cell.once else None
    stages = [Step("before", 2, cpus=0.5), Mishap("mishap", cell.happening, once), Step("after", cpus=0.5)]
    outputs, error = _run(backend, stages, ROWS, {"on_task_error": cell.policy})
    failed = _failed(failures)
    row = _row(record_property, backend, _named(cell), cell.policy, ROWS, outputs, failed, error)
    if cell.policy == "fail" and not cell.once:
        assert isinstance(error, StageError), row
        assert f"0_{BAD}_0" in str(error)
    else:
        _assert_nothing_lost(row, cell, failed, error)


@pytest.fixture
def nodes(nodes_beside_a_head: RayNodes) -> Iterator[RayNodes]:
    yield nodes_beside_a_head
    nodes_beside_a_head.end()


@pytest.mark.parametrize("policy", in_full(["skip", "fail"], "skip"))
@pytest.mark.parametrize("backend", in_full(MODES, "ray_actor_pool"))
def test_rows_after_a_node_is_cut_off(
    backend: str, policy: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    rows = 60
    failures = _environment(nodes.head, tmp_path, monkeypatch)
    journal = tmp_path / "journal"
    stages = [
        Inflate("inflate", 1, cpus=0.5),
        Slowly("slowly", journal).with_(num_workers=3),
        Deflate("deflate", 1, cpus=0.5),
    ]
    cutter = threading.Thread(target=_cut, args=(nodes, nodes.add(), journal, rows // 4))
    cutter.start()
    outputs, error = _run(backend, stages, rows, {"on_task_error": policy})
    cutter.join()
    row = _row(record_property, backend, "node cut off", policy, rows, outputs, _failed(failures), error)
    assert error is None, row
    assert (row["out"], row["failed"], row["lost"], row["duplicated"]) == (rows, 0, 0, 0)
    assert len(set(journal.read_text().split())) == rows


def _cut(nodes: RayNodes, number: int, journal: Path, lines: int) -> None:
    wait_for_lines(journal, lines)
    nodes.cut(number)


@engines("ray_actor_pool", of=["ray_data", "ray_actor_pool"])  # Xenna reads its nodes once
def test_a_node_that_joins_later_is_used(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _environment(nodes.head, tmp_path, monkeypatch)
    journal = tmp_path / "journal"
    joiner = threading.Thread(target=_join, args=(nodes, journal))
    joiner.start()
    outputs, error = _run(backend, [Step("before"), UntilElsewhere("where", journal)], 240, {})
    joiner.join()
    assert error is None
    assert len({task.data for task in outputs}) == len(outputs) == 240
    assert len(set(journal.read_text().split())) == 2


@pytest.mark.parametrize("backend", ASKED)
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_process_outlives_a_driver_with_a_ray_of_its_own(backend: str, ending: str) -> None:
    mark = new_mark()
    code = f"""
import os, signal
from xenna_stages import Step, numbers
from curator_slurm.executors.backend_registry import make_executor
outputs = make_executor({backend!r}).execute([Step("a"), Step("b")], numbers(5))
print("outputs", len(outputs), flush=True)
{ending}
"""
    outside = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_MODE")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**outside, "PYTHONPATH": python_path(), mark: "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "outputs 5" in done.stdout, done.stderr[-3000:]
    wait_for_no_marked(mark)


if not FULL:
    del test_no_process_outlives_a_driver_with_a_ray_of_its_own  # in the suite, examples/minimal.py is such a driver


def _join(nodes: RayNodes, journal: Path) -> None:
    wait_for_lines(journal, 2)
    nodes.add()


def _assert_nothing_lost(
    row: dict[str, Any], cell: Cell, failed: list[tuple[str, str]], error: Exception | None
) -> None:
    """The run ended well, and of its rows only the bad one is not among the outputs, where it is bad every time."""
    assert error is None, row
    assert failed == ([] if cell.once else [("mishap", f"0_{BAD}_0")])
    assert (row["lost"], row["duplicated"]) == (0, 0)


def _named(cell: Cell) -> str:
    return f"{cell.happening}{' once' if cell.once else ''}"


def _environment(ray: TestRay, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in ray.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(folder / "failures.jsonl"))
    return folder / "failures.jsonl"


def _run(backend: str, stages: list[Any], rows: int, config: dict[str, Any]) -> tuple[list[Any], Exception | None]:
    tasks = numbers(rows)
    assign_root_task_ids(tasks)
    name, _, mode = backend.partition(" ")
    try:
        return make_executor(name, {**config, **({"execution_mode": mode} if mode else {})}).execute(
            stages, tasks
        ), None
    except Exception as error:
        return [], error


def _failed(path: Path) -> list[tuple[str, str]]:
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert all(record["traceback"] and record["attempt"] >= 1 for record in records)
    assert all(record["task_id"].startswith(record["source"] + "_") for record in records)
    return [(record["stage"], record["task_id"]) for record in records]


def _row(
    record: Record,
    backend: str,
    failure: str,
    policy: str,
    rows: int,
    outputs: list[Any],
    failed: list[Any],
    error: Exception | None,
) -> dict[str, Any]:
    """A row of the table; lost are those of which a run that ended well says nothing."""
    counts = Counter(task.data for task in outputs)
    row = {
        "backend": backend,
        "xenna": importlib.metadata.version("cosmos-xenna") if backend.startswith("xenna") else "",
        "failure": failure,
        "policy": policy,
        "in": rows,
        "out": len(outputs),
        "failed": len(failed),
        "duplicated": sum(counts.values()) - len(counts),
        "lost": 0 if error else rows - len(counts) - len(failed),
        "run": f"failed: {str(error).splitlines()[0]}" if error else "completed",
    }
    record(ROW, row)
    return row
