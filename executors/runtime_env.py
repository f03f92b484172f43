"""Ray's runtime environment of a worker: what is given for all, what a stage asks for, and what its GPUs need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOSET_CUDA = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
"""Ray leaves CUDA_VISIBLE_DEVICES of a worker alone where this variable is set to a true value."""


def worker_env(common: Mapping[str, Any] | None, own: Mapping[str, Any] | None, gpus: float) -> dict[str, Any]:
    """The environment of a stage's workers on a back end where Ray assigns the GPUs; empty if it needs none."""
    env = merged_env(common or {}, own or {})
    if gpus:  # a cluster made for Xenna keeps Ray from assigning GPUs; here it must
        env["env_vars"] = {**(env.get("env_vars") or {}), NOSET_CUDA: ""}
    return env


def merged_env(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Two environments as one: the second wins, of environment variables each."""
    merged = {**common, **own}
    if common.get("env_vars") and own.get("env_vars"):
        merged["env_vars"] = {**common["env_vars"], **own["env_vars"]}
    return merged
