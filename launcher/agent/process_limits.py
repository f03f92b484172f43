"""How many files and processes a node's Ray may have: as many as the node allows, and a warning where that is few."""

from __future__ import annotations

import contextlib
import resource

from curator_slurm.common.in_words import several
from curator_slurm.launcher.agent.cluster_scale import LARGE

RECOMMENDED_FILES = 65_535
"""Ray's own recommendation for large clusters: workers connect to workers directly."""
FEWEST_FILES = 4096
FEWEST_PROCESSES = 4096
"""Threads count, and each worker of Ray has dozens."""
_MOST_FILES = 1 << 20
"""A hard limit may be a thousand times this; there are programs that close every number up to the soft one."""


def raise_limits(nodes: int) -> list[str]:
    """Raise the soft limits of this process and its children to the hard ones; what is still too low, in words."""
    files = _raise(resource.RLIMIT_NOFILE, _MOST_FILES)
    processes = _raise(resource.RLIMIT_NPROC, None)
    return list(shortages(files, processes, nodes))


def shortages(files: int | None, processes: int | None, nodes: int) -> list[str]:
    """Sentences about limits that Ray may meet; None is no limit."""
    wanted = RECOMMENDED_FILES if nodes > LARGE else FEWEST_FILES
    found = []
    if files is not None and files < wanted:
        found.append(
            f"at most {several(files, 'open file')} (ulimit -n), and Ray needs {wanted:,} on "
            f"{several(nodes, 'node')}: processes may fail "
            "with 'Too many open files'; ask the administrators for a higher hard limit"
        )
    if processes is not None and processes < FEWEST_PROCESSES:
        found.append(
            f"at most {processes:,} processes and threads (ulimit -u), and Ray needs {FEWEST_PROCESSES:,}: it may fail "
            "to start workers; ask the administrators for a higher hard limit"
        )
    return found


def _raise(kind: int, most: int | None) -> int | None:
    """The soft limit after it was raised to the hard one, or to `most`; None for no limit."""
    soft, hard = resource.getrlimit(kind)
    wanted = hard if most is None else most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > soft):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (wanted, hard))
            soft = wanted
    return None if soft == resource.RLIM_INFINITY else soft
