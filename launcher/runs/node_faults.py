"""Nodes that have failed under runs of this user: a small file for each, beside the runs, where every node sees it.

A file is made once and never changed, so that any number of agents may write at the same time; the same fault of the
same job has the same name. Old ones do not count, and go.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from curator_slurm.common.json_fields import checked, made
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths

COUNTS_S = 7 * 24 * 3600.0
"""A fault counts for so long: by then a node has been repaired, or drained."""
ENOUGH = 2
"""Faults, of different jobs, after which a node is kept out of the next attempt."""
MOST_ALIKE = 3
"""If more nodes than these fail for a reason that may be the run's own, it is not the nodes."""
MOST_EXCLUDED = 32
_MOST_FILES = 5000
_MAY_BE_OURS = frozenset(
    {
        FailureClass.ENVIRONMENT,
        FailureClass.STORAGE,
        FailureClass.PORT_CONFLICT,
        FailureClass.BOOTSTRAP_TIMEOUT,
    }
)
OF_NODES = _MAY_BE_OURS | {FailureClass.NODE_FAILED}
"""Failures of a node that count against it; the first four may be the run's own."""


@dataclass(frozen=True, kw_only=True)
class NodeFault:
    """A node that failed in one job: while it was checked, or later."""

    node: str
    time: float
    run_id: str
    element: str
    failure_class: str
    message: str
    cluster: str = ""
    schema: int = 1


@dataclass(frozen=True, kw_only=True)
class BadNode:
    """What counts against a node; `excluded` is whether the next attempt does without it."""

    node: str
    faults: int
    runs: int
    last: float
    message: str
    excluded: bool


def faults_folder(run: RunPaths) -> Path:
    """Where those of this user are, in the folder of the runs."""
    return run.root.parent.parent / f".nodes-{os.geteuid()}"


def note_fault(run: RunPaths, fault: NodeFault) -> None:
    """Remember a fault.

    Raises:
        OSError: the storage refuses.
    """
    folder = faults_folder(run)
    folder.mkdir(mode=0o700, exist_ok=True)
    if is_own(folder):
        write_json(folder / f"{_name(fault)}.json", asdict(fault), mode=0o600)


def _name(fault: NodeFault) -> str:
    parts = (fault.node, fault.run_id, fault.element)
    return "@".join("".join(c if c.isalnum() or c in "-_." else "_" for c in part) for part in parts)


def have_failed(run: RunPaths) -> bool:
    """Whether nodes have failed under this run: by the names of the files alone."""
    return any(f"@{run.run_id}@" in path.name for path in _files(faults_folder(run)))


def read_faults(folders: Iterable[Path], now: float | None = None) -> list[NodeFault]:
    """The faults that count, oldest first; files that are too old are removed."""
    now = time.time() if now is None else now
    found = []
    for folder in folders:
        for path in _files(folder):
            fault = _read(path)
            if fault is not None and abs(now - fault.time) <= COUNTS_S:
                found.append(fault)
            else:
                with contextlib.suppress(OSError):
                    if now - path.stat().st_mtime > COUNTS_S:
                        path.unlink()
    return sorted(found, key=lambda fault: fault.time)


def _files(folder: Path) -> Sequence[Path]:
    if not is_own(folder):
        return []
    with contextlib.suppress(OSError):
        names = os.listdir(folder)  # noqa: PTH208 (names alone)
        return [folder / name for name in sorted(names)[:_MOST_FILES] if name.endswith(".json") and name[0] != "."]
    return []


def _read(path: Path) -> NodeFault | None:
    with contextlib.suppress(OSError, ValueError):
        value = read_json(path)
        if isinstance(value, dict):
            return made(NodeFault, checked(NodeFault, value))
    return None


def bad_nodes(faults: Sequence[NodeFault]) -> list[BadNode]:
    """What these faults mean for each node, the worst first. Pure."""
    alike: Mapping[str, set[str]] = _nodes_of_classes(faults)
    counted: defaultdict[str, list[NodeFault]] = defaultdict(list)
    for fault in faults:
        if fault.failure_class not in _MAY_BE_OURS or len(alike[fault.failure_class]) <= MOST_ALIKE:
            counted[fault.node].append(fault)
    order = sorted(counted.items(), key=lambda item: (-len(item[1]), -item[1][-1].time))
    worst = [node for node, own in order if len(own) >= ENOUGH]
    excluded = set(worst) if len(worst) <= MOST_EXCLUDED else set()
    return [
        BadNode(
            node=node,
            faults=len(own),
            runs=len({fault.run_id for fault in own}),
            last=own[-1].time,
            message=own[-1].message,
            excluded=node in excluded,
        )
        for node, own in order
    ]


def _nodes_of_classes(faults: Sequence[NodeFault]) -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for fault in faults:
        found[fault.failure_class].add(fault.node)
    return found


def nodes_to_exclude(faults: Sequence[NodeFault]) -> list[str]:
    """Names of nodes that the next attempt does without."""
    return sorted(bad.node for bad in bad_nodes(faults) if bad.excluded)
