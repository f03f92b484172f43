"""Options of a stage for the Ray executors, read in one place for all of them."""

from __future__ import annotations

from typing import Any

STAGE_KEYS = frozenset(
    {
        "is_actor_stage", "is_fanout_stage", "is_raft_actor", "is_lsh_stage", "is_shuffle_stage",
        "max_calls_per_worker", "min_workers", "max_workers", "initial_workers", "ray_remote_args", "ray_num_cpus",
    }
)  # fmt: skip
"""All keys; an executor that has no use for one leaves it alone."""


def ray_stage_spec(stage: Any) -> dict[str, Any]:
    """`ray_stage_spec()` of a stage, empty where it has none; keys as strings, also where they are an enumeration's."""
    spec = stage.ray_stage_spec() if hasattr(stage, "ray_stage_spec") else {}
    return {str(getattr(key, "value", key)): value for key, value in dict(spec or {}).items()}


def checked_ray_stage_spec(stage: Any) -> dict[str, Any]:
    """The same.

    Raises:
        ValueError: a key that no executor knows.
    """
    spec = ray_stage_spec(stage)
    unknown = sorted(set(spec) - STAGE_KEYS)
    if unknown:
        raise ValueError(f"stage {str(stage.name)!r}: unknown keys in ray_stage_spec: {', '.join(unknown)}")
    return spec
