"""The names of the files of one node in a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.runs.measured_files import MeasuredFiles


@dataclass(frozen=True)
class NodePaths(MeasuredFiles):
    """Files of one node in one attempt; `root` is `nodes/<short host name>`."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def agent_log(self) -> Path:
        return self.root / "agent.log"

    @property
    def status(self) -> Path:
        """status.json: what this node's agent has reached, or why it failed."""
        return self.root / "status.json"

    @property
    def ray_output(self) -> Path:
        """What `ray start` printed."""
        return self.root / "ray.log"

    @property
    def ray_logs(self) -> Path:
        """Ray session logs of this node."""
        return self.root / "ray.tar.zst"

    @property
    def spill(self) -> Path:
        """What Ray spills where the node-local folder is memory; gone when the node has left."""
        return self.root / "spill"

    @property
    def facts(self) -> Path:
        """What the node says of itself, in the job of `doctor` alone."""
        return self.root / "facts.json"

    @property
    def meeting(self) -> Path:
        """What it has seen of the other nodes, there as well."""
        return self.root / "meeting.json"

    @property
    def refused(self) -> Path:
        """Made by `doctor` on the login node: the others need not wait for this node."""
        return self.root / "refused"
