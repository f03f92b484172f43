"""The phases that a job goes through on each node, and when: where the seconds before the first work are.

The script and the agents note them: each node in its status.json, and the head, for all nodes, in events.jsonl.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

TIMES = "CURATOR_SLURM_TIMES"
"""Environment variable in which the script tells the agents what was reached before them: `script=1764449.5 ...`."""

_TIME = re.compile(r"(\w+)=([0-9]+(?:[.,][0-9]+)?)")


class Phase(StrEnum):
    """What was reached; of a node, unless it says otherwise."""

    SCRIPT = "script"
    PACKED = "packed"
    SRUN = "srun"
    SHELL = "shell"
    STAGED = "staged"
    AGENT = "agent"
    PREFLIGHT = "preflight"
    RAY_IMPORTED = "ray_imported"
    RAY_STARTING = "ray_starting"
    RAY_STARTED = "ray_started"
    RAY_COMPLETE = "ray_complete"
    JOINED = "joined"
    CLUSTER_READY = "cluster_ready"
    DRIVER_LAUNCHED = "driver_launched"
    DRIVER_IMPORTED = "driver_imported"
    DRIVER_STARTED = "driver_started"
    CONNECTED = "connected"
    FIRST_BATCH = "first_batch"
    DRIVER_ENDED = "driver_ended"
    PUBLISHED = "published"
    ENDING = "ending"
    RAY_STOPPED = "ray_stopped"
    LOGS_PACKED = "logs_packed"
    LEFT = "left"


WORDS: Mapping[Phase, str] = {
    Phase.SCRIPT: "batch script started",
    Phase.PACKED: "software packed, or found packed",
    Phase.SRUN: "srun started",
    Phase.SHELL: "shell on the node started",
    Phase.STAGED: "software on the node's own disk",
    Phase.AGENT: "agent started",
    Phase.PREFLIGHT: "checks passed",
    Phase.RAY_IMPORTED: "Ray imported",
    Phase.RAY_STARTING: "Ray's control service looked for, or started",
    Phase.RAY_STARTED: "node is a member of the Ray cluster",
    Phase.RAY_COMPLETE: "all services of Ray are up",
    Phase.JOINED: "joined: Ray refuses strangers",
    Phase.CLUSTER_READY: "cluster ready",
    Phase.DRIVER_LAUNCHED: "driver launched",
    Phase.DRIVER_IMPORTED: "driver has imported",
    Phase.DRIVER_STARTED: "driver told to go",
    Phase.CONNECTED: "pipeline started, connected to Ray",
    Phase.FIRST_BATCH: "first batch done",
    Phase.DRIVER_ENDED: "driver ended",
    Phase.PUBLISHED: "outputs published",
    Phase.ENDING: "end of the run noticed",
    Phase.RAY_STOPPED: "Ray stopped",
    Phase.LOGS_PACKED: "Ray's logs packed",
    Phase.LEFT: "left the run",
}
"""For people."""

OF_JOB = frozenset({Phase.SCRIPT, Phase.PACKED, Phase.SRUN})
"""Phases of the job, which every node has been told."""

NODE_PHASES = "node_phases"
"""The event with the phases of a node."""
SHARD_EVENTS: Mapping[str, Phase] = {
    "driver_launched": Phase.DRIVER_LAUNCHED,
    "driver_started": Phase.DRIVER_STARTED,
    "driver_ended": Phase.DRIVER_ENDED,
    "outputs_published": Phase.PUBLISHED,
    "cluster_ready": Phase.CLUSTER_READY,
}
"""Events that are phases."""


def times_of(text: str) -> dict[str, float]:
    """What the script has noted: name -> seconds since the epoch. A locale may write a decimal comma."""
    return {name: float(value.replace(",", ".")) for name, value in _TIME.findall(text)}
