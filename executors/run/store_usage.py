"""How full Ray's object store is, over all nodes: one question to one raylet, which asks the others.

Neither the dashboard nor its state API takes part, and Ray's own channel brings the cluster's token along.
"""

from __future__ import annotations

import logging
from typing import Any

from curator_slurm.executors.ray_internals import store_stats

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0


def store_usage() -> dict[str, int] | None:
    """Bytes in the object store, its size, and bytes that were spilled to disk since Ray's start.

    None where there is no Ray, it does not answer in time, or this version of Ray answers in another way.
    """
    import ray

    if not ray.is_initialized():
        return None
    try:
        stats = store_stats(_TIMEOUT_S)
        return _from_stats(stats) if stats is not None else None
    except Exception as error:  # of gRPC, or of counts that have changed
        log.debug("cannot read the usage of the object store from Ray: %s", error)
        return None


def _from_stats(stats: Any) -> dict[str, int]:
    return {
        "used_bytes": int(stats.object_store_bytes_used),
        "capacity_bytes": int(stats.object_store_bytes_avail),
        "spilled_bytes": int(stats.spilled_bytes_total),
        "restored_bytes": int(stats.restored_bytes_total),
    }
