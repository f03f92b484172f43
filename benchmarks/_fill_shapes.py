"""The shapes of benchmarks/fill.py: stages that sleep, on which nodes, and what the work alone takes."""

from __future__ import annotations

from dataclasses import dataclass

from _ray import Layout

CPUS = Layout(nodes=4, cpus=4, store_mb=200)
GPUS = Layout(nodes=4, cpus=4, gpus=2, store_mb=200)
THREE = Layout(nodes=3, cpus=4, store_mb=200)


@dataclass(frozen=True)
class Stage:
    """One CPU, and a GPU or none; sleeps for so long at every task, and at its start."""

    seconds: float
    gpus: int = 0
    setup_s: float = 0.0


@dataclass(frozen=True)
class Pool:
    """Of the floor: so many actors, each of which does the work of these stages one after the other."""

    stages: tuple[int, ...]
    actors: int


@dataclass(frozen=True)
class Shape:
    """A pipeline of stages of batch size 1."""

    title: str
    layout: Layout
    stages: tuple[Stage, ...]
    tasks: int
    floor: tuple[Pool, ...]

    @property
    def gpus(self) -> bool:
        return any(stage.gpus for stage in self.stages)

    @property
    def slots(self) -> int:
        """Of what limits the shape: GPUs where a stage takes one, else CPUs."""
        return self.layout.nodes * (self.layout.gpus if self.gpus else int(self.layout.cpus))

    @property
    def ideal_s(self) -> float:
        """All slots at work from the first moment to the last, after the loading of what they wait for."""
        limiting = [stage for stage in self.stages if stage.gpus] or self.stages
        work = self.tasks * sum(stage.seconds for stage in limiting) / self.slots
        return work + max(stage.setup_s for stage in self.stages)


SHAPES = {
    "one": Shape("one stage of 0.25 s", CPUS, (Stage(0.25),), 640, (Pool((0,), 16),)),
    "skewed": Shape("0.05 s, then 0.45 s", CPUS, (Stage(0.05), Stage(0.45)), 320, (Pool((0, 1), 16),)),
    "setup": Shape("10 s of setup, then 0.5 s", CPUS, (Stage(0.5, setup_s=10),), 320, (Pool((0,), 16),)),
    "gpu": Shape(
        "CPU 0.1 s, then GPU 0.25 s", GPUS, (Stage(0.1), Stage(0.25, gpus=1)), 320, (Pool((0,), 8), Pool((1,), 8))
    ),
    "model": Shape(
        "CPU 0.05 s, GPU 0.25 s after 10 s of loading, CPU 0.05 s",
        GPUS,
        (Stage(0.05), Stage(0.25, gpus=1, setup_s=10), Stage(0.05)),
        640,
        (Pool((0,), 4), Pool((1,), 8), Pool((2,), 4)),
    ),
    "many": Shape("328 batches of 0.4 s on 3 nodes", THREE, (Stage(0.4),), 328, (Pool((0,), 12),)),
}
WARM_UP = Shape("not measured", CPUS, (Stage(0.01),), 16, (Pool((0,), 12),))
"""Ray starts its first workers of a node in advance for the first driver that comes."""
