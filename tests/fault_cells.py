"""The cells of `make faults`: what happens to a run, which kind of run it is, and which executor it has. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something that happens to a run; `by_itself`: it goes on after it without `retry`; None: that depends."""

    name: str
    by_itself: bool | None = True
    drains: bool = False
    """The run is told, and may end what is in flight."""
    on_disk: bool = False
    """It happens to the storage."""
    interrupts: bool = False
    """The job cannot survive it: the table must show a restart."""


NOTHING = Fault("nothing", drains=True)
"""What the others are compared with."""
FAULTS = [
    NOTHING,
    Fault("time limit", drains=True, interrupts=True),
    Fault("preemption, GraceTime 0", drains=True, interrupts=True),
    Fault("preemption, GraceTime 60", drains=True, interrupts=True),
    Fault("scontrol requeue", drains=True, interrupts=True),
    Fault("time limit, requeue refused by the site", drains=True, interrupts=True),
    Fault("power cut of a worker"),
    Fault("power cut of the head", interrupts=True),
    Fault("link cut of a worker"),
    Fault("link cut of the head, storage visible"),
    Fault("link cut of the head, its processes stopped"),
    Fault("kill -9 of a raylet"),
    Fault("kill -9 of the GCS"),
    Fault("kill -9 of the head's agent"),
    Fault("kill -9 of the driver", by_itself=False),
    Fault("kill -9 of srun"),
    Fault("kill -9 of the batch shell", by_itself=False),
    Fault("slurmd restarted"),
    Fault("slurmctld away for 60 s"),
    Fault("storage full for 20 s", by_itself=None, on_disk=True),
    Fault("storage read-only for 20 s", by_itself=None, on_disk=True),
    Fault("storage hangs for 20 s", on_disk=True),
]
ONE_RUN, ARRAY = "one run", "array of 12"
KINDS = [ONE_RUN, ARRAY]
EXECUTORS = ["ray_actor_pool", "ray_data", "xenna"]
BATCH = "xenna batch"
"""Where the mode makes a difference: it drains in another way."""


@dataclass(frozen=True)
class Cell:
    fault: Fault
    kind: str
    executor: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.fault.name, self.kind, self.executor

    @property
    def name(self) -> str:
        """For pytest and for folders."""
        return re.sub(r"[^a-z0-9]+", "-", " ".join(self.key).lower())


def cells() -> list[Cell]:
    """All of them, in the order of the table."""
    found = [Cell(fault, kind, executor) for fault in FAULTS for kind in KINDS for executor in EXECUTORS]
    drained = [fault for fault in FAULTS if fault.drains]
    return sorted([*found, *(Cell(fault, ONE_RUN, BATCH) for fault in drained)], key=_order)


def _order(cell: Cell) -> tuple[int, int]:
    return FAULTS.index(cell.fault), KINDS.index(cell.kind)
