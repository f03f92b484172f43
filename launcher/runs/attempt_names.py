"""The names of attempts and of the elements that make them, such as `4711_12.1`: job, task of an array, restart."""

from __future__ import annotations

import re
from collections.abc import Iterable

STATE = "state"
"""What stays over attempts, in the folder of a shard beside them."""
EPOCH = "epoch"
"""Which of them is the newest."""


def is_attempt(name: str) -> bool:
    """Whether what lies in the folder of a shard is an attempt at it: STATE and EPOCH lie there, too."""
    return "." in name and name[0] != "."


def order_of(name: str) -> list[int]:
    """Orders names such as 4711_12.1 by time: job ids only grow, and so do restarts of one job."""
    return [int(part) for part in re.findall(r"[0-9]+", name)]


def is_later(element_id: str, submitted: str) -> bool:
    """Whether an element is of a job after that of a submission: one that was submitted by hand."""
    return bool(element_id and submitted) and order_of(element_id) > order_of(submitted)


def base_of(name: str) -> str:
    """The id of the element in the name of an attempt: `4711_3` of `4711_3.1`."""
    return name.rpartition(".")[0]


def newest_names(names: Iterable[str]) -> dict[str, str]:
    """Element id -> name of the folder of its newest restart, of the names in `elements/`."""
    folders = [name for name in names if not name.startswith("slurm-")]
    return {base_of(name): name for name in sorted(folders, key=order_of)}
