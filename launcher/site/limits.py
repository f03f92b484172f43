"""What a site allows one run or one user to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from curator_slurm.common.in_words import are, several
from curator_slurm.launcher.spec.slurm_time import seconds
from curator_slurm.launcher.spec.value_types import Number, Section, Time, Whole


class TimeStep(Section):
    """The time limit of jobs up to some number of nodes."""

    nodes: Whole = Field(ge=1, description="up to this many nodes")
    time: Time = Field(description="the longest time limit of such jobs")


class LimitsSpec(Section):
    """What one run, or one user, may have; checked before submission."""

    nodes: Whole | None = Field(default=None, ge=1, description="most nodes of one job")
    min_nodes: Whole | None = Field(default=None, ge=1, description="least nodes of one job")
    gpus: Whole | None = Field(default=None, ge=0, description="most GPUs of one job")
    time: Time | None = Field(default=None, description="longest time limit of a job")
    time_by_nodes: list[TimeStep] = Field(
        default=[], description="longest time limits by number of nodes, smallest first"
    )
    node_hours: Number | None = Field(default=None, gt=0, description="most nodes times hours of one job")
    running_shards: Whole | None = Field(
        default=None, ge=1, description="most shards of a run that are processed at once"
    )
    submitted_jobs: Whole | None = Field(
        default=None, ge=1, description="most jobs of a user in the queue; every element of an array counts"
    )
    running_jobs: Whole | None = Field(default=None, ge=1, description="most jobs of a user that run at once")
    poll_s: Number | None = Field(
        default=None,
        ge=0,
        description="least seconds between two queries of Slurm by one user, over all commands that show runs",
    )

    def stricter(self, other: LimitsSpec) -> LimitsSpec:
        """Both together: of each limit, the one that allows less."""
        update: dict[str, Any] = {}
        for key in other.model_fields_set:
            ours, theirs = getattr(self, key), getattr(other, key)
            if ours is None or ours == []:
                update[key] = theirs
            elif key == "time":
                update[key] = min(ours, theirs or ours, key=lambda limit: seconds(limit) or 0)
            elif key in ("min_nodes", "poll_s"):
                update[key] = max(ours, theirs or ours)
            elif isinstance(ours, (int, float)):
                update[key] = min(ours, theirs if theirs is not None else ours)
        return self.model_copy(update=update)

    def exceeded(self, nodes: int, gpus_per_node: int, time: str | None) -> Iterator[tuple[str, str, str]]:
        """(key of the spec, limit, words) of everything that one job of this size has too much or too little of."""
        if self.nodes is not None and nodes > self.nodes:
            yield "resources.nodes", "nodes", f"{several(nodes, 'node')} are more than {self.nodes}"
        if self.min_nodes is not None and nodes < self.min_nodes:
            yield "resources.nodes", "min_nodes", f"{several(nodes, 'node')} {are(nodes)} less than {self.min_nodes}"
        if self.gpus is not None and (gpus := nodes * gpus_per_node) > self.gpus:
            yield (
                "resources.gpus_per_node",
                "gpus",
                f"{several(gpus, 'GPU')}, {gpus_per_node} on each node, are more than {self.gpus}",
            )
        asked = seconds(time) if time else None
        if asked is None:
            return
        step = next((step for step in self.time_by_nodes if nodes <= step.nodes), None)
        for limit, longest, words in (
            ("time", self.time, ""),
            (
                "time_by_nodes",
                step.time if step else None,
                f" with up to {several(step.nodes, 'node')}" if step else "",
            ),
        ):
            if longest is not None and asked > (seconds(longest) or asked):
                yield "resources.time", limit, f"{time} is longer than {longest}{words}"
        if self.node_hours is not None and nodes * asked > self.node_hours * 3600:
            hours = nodes * asked / 3600
            yield (
                "resources.time",
                "node_hours",
                f"{several(nodes, 'node')} for {time} are {several(hours, 'node-hour')} of {self.node_hours:g}",
            )
