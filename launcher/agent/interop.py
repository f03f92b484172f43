"""NeMo Curator's own array support, which would divide the input a second time.

Its source stages look at these variables and else at Slurm's own in every Ray worker, and drop the tasks that a hash
gives to other shards. Our shards are divided before, so it is off wherever a shard runs: on all nodes of an element
and in its drivers. A spec that turns it on beside `shards` is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from curator_slurm.launcher.spec import CURATOR_ARRAYS

ENABLED = f"{CURATOR_ARRAYS}ENABLED"


def off(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for Ray and drivers of a sharded run."""
    return {**{name: value for name, value in environment.items() if not name.startswith(CURATOR_ARRAYS)}, ENABLED: "0"}
