"""Lines that readings make, and the thread that writes them."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.common import measurements
from curator_slurm.common.measurements import line_of
from curator_slurm.launcher.measuring import node_thread
from curator_slurm.launcher.measuring.gpu_figures import GpuReading, NoGpus
from curator_slurm.launcher.measuring.node_figures import Figures, FiguresReader, line_from
from curator_slurm.launcher.measuring.node_thread import NodeMeasuring


def test_a_line_has_rates_of_what_counts_up_and_the_most_of_what_goes_up_and_down() -> None:
    readings = [
        Figures(time=100.0, cpu_job=5.0, memory_job=900, shm=1, disk_free=50, net_in=1000, energy=0.0),
        Figures(
            time=104.0, cpu_job=11.0, memory_job=700, shm=9, disk_free=20, net_in=1400, energy=200.0,
            gpus=(GpuReading(0.5, 10, 100.0), GpuReading(0.0, 20, None)),
        ),
        Figures(
            time=110.0, cpu_job=25.0, memory_job=600, shm=2, disk_free=30, net_in=3000, energy=1000.0,
            gpus=(GpuReading(1.0, 30, 300.0), GpuReading(0.5, 20, None)),
        ),
    ]  # fmt: skip
    line = line_of(line_from("n1", readings))
    assert line == {
        "time": 110.0, "node": "n1", "seconds": 10.0, "cpus_job": 2.0, "memory_job": 700, "shm": 9, "disk_free": 20,
        "net_in": 200.0, "power": 100.0, "gpus": [0.75, 0.25], "gpu_memory": 50, "gpu_power": 200.0,
    }  # fmt: skip


def test_a_counter_that_begins_anew_gives_no_rate() -> None:
    found = line_from("n1", [Figures(time=1.0, net_in=10**9, cpu_node=5.0), Figures(time=2.0, net_in=7)])
    assert found.net_in is None
    assert found.cpus_node is None


@pytest.mark.parametrize(("whole", "busy"), [(12.0, 1.0), (None, 8.0)])
def test_a_job_keeps_no_more_cpus_busy_than_the_node(whole: float | None, busy: float) -> None:
    """The time of processes that have ended may come late, all at once, as their parent's."""
    first = Figures(time=1.0, cpu_job=5.0, cpu_node=None if whole is None else 11.0)
    found = line_from("n1", [first, Figures(time=2.0, cpu_job=13.0, cpu_node=whole)])
    assert found.cpus_job == busy


def test_a_reading_of_this_machine(tmp_path: Path) -> None:
    reader = FiguresReader(NoGpus(), lambda: tmp_path, lambda: "127.0.0.1")
    found = reader.read()
    assert found.memory_node
    assert found.disk_free
    assert found.net_in is not None
    assert FiguresReader(NoGpus(), lambda: tmp_path / "gone", lambda: "").read().disk_free is None


def test_lines_become_rarer_and_their_number_stays_small() -> None:
    def lines(seconds: float) -> int:
        now, count = 0.0, 0
        while now < seconds:
            now += measurements.interval_s(now)
            count += 1
        return count

    assert [lines(hours * 3600) for hours in (0.1, 1, 24, 24 * 7)] == [180, 641, 1278, 1668]
    assert measurements.pause_s(1e6) == measurements.LONGEST_LOOK_S
    assert measurements.pause_s(0, reading_s=0.5) == 100.0
    assert measurements.interval_s(0, reading_s=0.5) == 100.0


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_thread_writes_lines_and_a_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "SHORTEST_S", 0.01)
    path = tmp_path / "metrics.jsonl"
    measuring = NodeMeasuring(path, lambda: Figures(time=time.time(), memory_job=5), "n1")
    measuring.start()
    deadline = time.monotonic() + 30
    while len(lines_of(path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    monkeypatch.setattr(node_thread, "_LAST_LINE_S", 30.0)
    measuring.end()
    found = lines_of(path)
    assert len(found) > 3
    assert all(line["memory_job"] == 5 and line["node"] == "n1" for line in found)


@pytest.mark.parametrize("broken", ["reading", "storage"])
def test_trouble_ends_the_measuring_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def read() -> Figures:
        if broken == "reading":
            raise RuntimeError("no such counter")
        return Figures(time=1.0)

    measuring = NodeMeasuring(tmp_path / "gone" / "metrics.jsonl", read, "n1")
    with caplog.at_level(logging.WARNING, logger="curator_slurm.agent"):
        measuring.start()
        measuring.end()
        measuring.end()
        measuring._thread.join(30)
    assert "measuring ends" in caplog.text
    assert ("no such counter" if broken == "reading" else "No such file") in caplog.text
