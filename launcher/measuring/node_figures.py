"""One reading of everything that is measured of a node, and the line that several readings make."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from curator_slurm.common.measurements import NodeSample
from curator_slurm.launcher.measuring.gpu_figures import GpuReader, GpuReading
from curator_slurm.launcher.measuring.job_usage import JobReader

_RAPL = Path("/sys/class/powercap")
_SHM = "/dev/shm"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What there is at a moment; what counts up (CPU seconds, bytes, joules) counts from anywhere."""

    time: float
    cpu_job: float | None = None
    cpu_node: float | None = None
    memory_job: int | None = None
    memory_node: int | None = None
    shm: int | None = None
    disk_free: int | None = None
    disk_read: int | None = None
    disk_written: int | None = None
    net_in: int | None = None
    net_out: int | None = None
    energy: float | None = None
    gpus: tuple[GpuReading, ...] = ()


class FiguresReader:
    """Takes readings; what cannot be read is left out."""

    def __init__(self, gpus: GpuReader, folder: Callable[[], Path | None], address: Callable[[], str]) -> None:
        """`folder` and `address` are asked each time: the agent knows them only later."""
        self._job = JobReader()
        self._gpus = gpus
        self._folder = folder
        self._address = address
        self._interfaces: dict[str, str] = {}
        packages = (path for path in sorted(_RAPL.glob("intel-rapl:[0-9]*")) if path.name.count(":") == 1)
        self._energy = [path / "energy_uj" for path in packages]

    def read(self) -> Figures:
        """Now."""
        job = self._job.read()
        net_in, net_out = self._network()
        disk_read, disk_written = _disks()
        return Figures(
            time=time.time(),
            cpu_job=job.cpu_s,
            cpu_node=_node_cpu(),
            memory_job=job.memory,
            memory_node=_node_memory(),
            shm=_used(_SHM),
            disk_free=_free(self._folder()),
            disk_read=disk_read,
            disk_written=disk_written,
            net_in=net_in,
            net_out=net_out,
            energy=self._joules(),
            gpus=tuple(self._gpus.read()),
        )

    def _network(self) -> tuple[int | None, int | None]:
        """Of the interface with Ray's address; of all but the loopback, while that is not known."""
        with contextlib.suppress(OSError):
            counts = psutil.net_io_counters(pernic=True)
            name = self._interface(self._address())
            chosen = [counts[name]] if name in counts else [each for nic, each in counts.items() if nic != "lo"]
            return sum(each.bytes_recv for each in chosen), sum(each.bytes_sent for each in chosen)
        return None, None

    def _interface(self, address: str) -> str:
        if address and address not in self._interfaces:
            found = (nic for nic, each in psutil.net_if_addrs().items() if any(a.address == address for a in each))
            self._interfaces[address] = next(found, "")
        return self._interfaces.get(address, "")

    def _joules(self) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            if self._energy:
                return sum(int(path.read_text()) for path in self._energy) / 1e6
        return None


def _node_cpu() -> float | None:
    with contextlib.suppress(OSError, RuntimeError):
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # they are in user and nice, too
        return float(sum(times)) - idle - guests
    return None


def _node_memory() -> int | None:
    with contextlib.suppress(OSError, RuntimeError):
        memory = psutil.virtual_memory()
        return int(memory.total - memory.available)
    return None


def _disks() -> tuple[int | None, int | None]:
    with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
        counts = psutil.disk_io_counters()
        if counts is not None:
            return counts.read_bytes, counts.write_bytes
    return None, None


def _used(path: str) -> int | None:
    with contextlib.suppress(OSError):
        found = os.statvfs(path)
        return (found.f_blocks - found.f_bfree) * found.f_frsize
    return None


def _free(path: Path | None) -> int | None:
    with contextlib.suppress(OSError):
        if path is not None:
            found = os.statvfs(path)
            return found.f_bavail * found.f_frsize
    return None


def line_from(node: str, readings: Sequence[Figures]) -> NodeSample:
    """What happened on a node between the first of these readings and the last."""
    first, last = readings[0], readings[-1]
    seconds = max(last.time - first.time, 1e-3)
    after = readings[1:] or readings
    gpus = [each.gpus for each in after]
    cpus_node = _rate(first.cpu_node, last.cpu_node, seconds)
    return NodeSample(
        time=last.time,
        node=node,
        seconds=seconds,
        cpus_job=_no_more_than(cpus_node, _rate(first.cpu_job, last.cpu_job, seconds)),
        cpus_node=cpus_node,
        memory_job=_most([each.memory_job for each in after]),
        memory_node=_most([each.memory_node for each in after]),
        shm=_most([each.shm for each in after]),
        disk_free=_least([each.disk_free for each in after]),
        disk_read=_rate(first.disk_read, last.disk_read, seconds),
        disk_written=_rate(first.disk_written, last.disk_written, seconds),
        net_in=_rate(first.net_in, last.net_in, seconds),
        net_out=_rate(first.net_out, last.net_out, seconds),
        power=_rate(first.energy, last.energy, seconds),
        gpus=_busy(gpus),
        gpu_memory=_most([_sum([gpu.memory for gpu in each]) for each in gpus]),
        gpu_power=_mean([_sum([gpu.power for gpu in each]) for each in gpus]),
    )


def _rate(before: float | None, after: float | None, seconds: float) -> float | None:
    """Of what counts up; None over the moment in which a counter begins anew."""
    if before is None or after is None or after < before:
        return None
    return (after - before) / seconds


def _no_more_than(whole: float | None, part: float | None) -> float | None:
    """Seconds of a process that has ended may be seen late, with its parent: they are of an earlier line."""
    return part if whole is None or part is None else min(part, whole)


def _busy(gpus: Sequence[Sequence[GpuReading]]) -> tuple[float, ...] | None:
    """For each GPU the mean over the readings; None where there is none, or where they do not tell."""
    whole = [[gpu.busy for gpu in each] for each in gpus]
    full = [[busy for busy in each if busy is not None] for each in whole]
    count = len(full[-1]) if full else 0
    same = [each for each in full if len(each) == count]
    return tuple(sum(column) / len(same) for column in zip(*same, strict=True)) if count else None


_Figure = TypeVar("_Figure", int, float)


def _known(values: Sequence[_Figure | None]) -> list[_Figure]:
    return [value for value in values if value is not None]


def _most(values: Sequence[int | None]) -> int | None:
    return max(_known(values), default=None)


def _least(values: Sequence[int | None]) -> int | None:
    return min(_known(values), default=None)


def _sum(values: Sequence[_Figure | None]) -> _Figure | None:
    known = _known(values)
    return sum(known) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None
