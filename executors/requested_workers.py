"""How many workers a stage asks for: in all, or on every node."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def workers_per_node(stage: Any) -> float | None:
    """`num_workers_per_node()` of a stage, None where it has none.

    Raises:
        ValueError: it is not a number above 0.
    """
    count: Any = _call(stage, "num_workers_per_node")
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not 0 < count < math.inf:
        raise ValueError(f"stage {stage.name!r}: num_workers_per_node must be a number above 0, not {count!r}")
    return count


def fixed_workers(stage: Any, count_nodes: Callable[[], int]) -> int | None:
    """The number of workers that a stage asks for on this many nodes; None leaves it to the executor.

    Raises:
        ValueError: it asks in two ways.
    """
    count: int | None = _call(stage, "num_workers")
    per_node = workers_per_node(stage)
    if per_node is None:
        return count if count is not None and count > 0 else None
    if count is not None:
        raise ValueError(f"stage {stage.name!r}: give num_workers or num_workers_per_node, not both")
    return max(1, math.ceil(per_node * count_nodes()))


def _call(stage: Any, method: str) -> Any:
    return getattr(stage, method)() if hasattr(stage, method) else None
