"""Benchmarks: what is computed of their samples, and where their tables go. Nothing is measured here."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import bench  # noqa: E402
from _fill_figures import Span, busy, figures, ramp  # noqa: E402
from _fill_shapes import SHAPES  # noqa: E402
from _plot import bars, rows_of  # noqa: E402


def spans(workers, start, seconds, tasks, stage=0):
    """Each worker begins a second after the one before it, and works without a pause."""
    return [
        Span(stage, f"n{worker % 2}", worker, start + worker, begin, begin + seconds)
        for worker in range(workers)
        for begin in (start + worker + number * seconds for number in range(tasks))
    ]


def test_slots_that_work_are_counted_by_their_time():
    work = spans(4, 10.0, 0.5, 20)
    assert busy(work, 4, 13.0, 20.0) == pytest.approx(1.0)
    assert busy(work, 8, 13.0, 20.0) == pytest.approx(0.5)
    assert busy(work, 4, 10.0, 14.0) == pytest.approx((4 + 3 + 2 + 1) / 16)
    assert busy(work, 4, 5.0, 5.0) == 0


def test_the_ramp_ends_when_all_slots_work():
    assert ramp(spans(4, 10.0, 0.5, 20), 4, 9.0) == pytest.approx(4.0, abs=0.5)
    assert ramp(spans(3, 10.0, 0.5, 20), 4, 9.0) is None


def test_figures_of_a_run():
    found = figures(spans(4, 10.0, 0.5, 20), {0}, 4, 9.0, gpus=True)
    assert found["steady"] == pytest.approx(1.0, abs=0.01)
    assert (found["nodes"], found["workers"], found["largest_share"]) == (2, 4, 0.5)
    assert found["gpu_busy"] == pytest.approx(40 / 52, abs=0.01)
    without = figures([*spans(4, 10.0, 0.5, 20, stage=1), *spans(1, 9.0, 9.0, 1)], {1}, 4, 9.0, gpus=False)
    assert "gpu_busy" not in without
    assert without["steady"] == found["steady"]


@pytest.mark.parametrize("name", SHAPES)
def test_the_floor_of_a_shape_fills_its_slots(name):
    shape = SHAPES[name]
    assert sorted(stage for pool in shape.floor for stage in pool.stages) == list(range(len(shape.stages)))
    assert sum(pool.actors for pool in shape.floor) <= shape.layout.nodes * shape.layout.cpus
    if shape.gpus:
        assert shape.slots == sum(pool.actors for pool in shape.floor if shape.stages[pool.stages[0]].gpus)
    else:
        assert shape.slots == sum(pool.actors for pool in shape.floor)


def test_every_benchmark_has_a_section_that_keeps_its_text():
    page = bench.PAGE.read_text(encoding="utf-8")
    for benchmark in bench.BENCHMARKS:
        once = bench.placed(page, benchmark.name, "| a |\n|---|\n| 1 |")
        assert bench.placed(once, benchmark.name, "") != once
        assert once.replace("| a |\n|---|\n| 1 |", "").split() == bench.placed(page, benchmark.name, "").split()
    with pytest.raises(SystemExit, match="bench:unknown"):
        bench.placed(page, "unknown", "")


def test_of_what_a_benchmark_prints_its_tables_are_kept():
    assert bench.tables("warm\n| a |\n|---|\n| 1 |\n  2.5 more\n| b |\n") == "| a |\n|---|\n| 1 |\n\n| b |"


def test_a_plot_has_a_bar_for_every_number():
    table = "| shape | who | t |\n|---|---|---|\n| one | a<b | 1.5 |\n| one | c | - |\n| two | c | 3 |"
    rows = rows_of(table, "shape", "who", "t")
    assert rows == {"one": {"a<b": 1.5}, "two": {"c": 3.0}}
    picture = bars("Time", rows)
    assert picture.count("<rect") == 2
    assert "a&lt;b" in picture
