"""NeMo Curator's own array support, which would divide the input a second time.

Its source stages look at these variables and else at Slurm's own in every Ray worker, and drop the tasks that a hash
gives to other shards. Our shards are divided before, so it is off wherever a shard runs: on all nodes of an element
and in its drivers. A spec that turns it on beside `shards` is refused. A run without shards has what its spec says
alone: the array that the caller of a local run may be in is not that of the run.
"""

from __future__ import annotations

from collections.abc import Mapping

CURATOR_ARRAYS = "NEMO_CURATOR_SLURM_ARRAY_"
"""Its environment variables; without them it is on in every job array."""
ENABLED = f"{CURATOR_ARRAYS}ENABLED"


def off(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for Ray and drivers of a sharded run."""
    return {**{name: value for name, value in environment.items() if not name.startswith(CURATOR_ARRAYS)}, ENABLED: "0"}
