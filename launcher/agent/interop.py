"""NeMo Curator's own array support, which would divide the input a second time.

Its source stages look at these variables and else at Slurm's own in every Ray worker, and drop the tasks that a hash
gives to other shards. Our shards are divided before, so it is off wherever a shard runs; number and count of
the shard are told all the same, for pipelines that want to know them.
"""

from __future__ import annotations

from collections.abc import Mapping

ENABLED = "NEMO_CURATOR_SLURM_ARRAY_ENABLED"
SHARD_INDEX = "NEMO_CURATOR_SLURM_ARRAY_SHARD_INDEX"
TOTAL_SHARDS = "NEMO_CURATOR_SLURM_ARRAY_TOTAL_SHARDS"
MINIMUM_SHARD_INDEX = "NEMO_CURATOR_SLURM_ARRAY_MINIMUM_SHARD_INDEX"


def off(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for Ray: what the shard is differs between the drivers on one cluster."""
    ours = (ENABLED, SHARD_INDEX, TOTAL_SHARDS, MINIMUM_SHARD_INDEX)
    return {**{name: value for name, value in environment.items() if name not in ours}, ENABLED: "0"}


def of_shard(index: int, total: int) -> dict[str, str]:
    """Variables for the driver of a shard."""
    return {ENABLED: "0", SHARD_INDEX: str(index), TOTAL_SHARDS: str(total), MINIMUM_SHARD_INDEX: "0"}
