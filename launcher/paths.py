"""The names of all files of a run. Templates and code get paths from here alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """Files of one run; `root` is `<runs>/<name>/<run_id>`."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def spec(self) -> Path:
        """The spec as the user wrote it."""
        return self.root / "spec.yaml"

    @property
    def plan(self) -> Path:
        return self.root / "plan.yaml"

    @property
    def record(self) -> Path:
        """run.json: who submitted what, when, and the job ids of every submission."""
        return self.root / "run.json"

    @property
    def script(self) -> Path:
        """Exactly what was given to sbatch."""
        return self.root / "job.sbatch"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def outputs(self) -> Path:
        """Published outputs; appears by one rename when the run has succeeded."""
        return self.root / "outputs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def secret_environment(self) -> Path:
        return self.secrets / "environment.json"

    def slurm_log(self, job_id: str) -> Path:
        """Output of the batch script; `job_id` as in %j, or `A_a` for an array element."""
        return self.root / f"slurm-{job_id}.log"

    def attempt(self, shard: int, job_id: str, restart: int) -> AttemptPaths:
        """`job_id` is `4711` or, in an array, `4711_12`; `restart` is SLURM_RESTART_COUNT."""
        return AttemptPaths(self.attempts / f"{shard:05d}" / f"{job_id}.{restart}", self)

    def existing_attempts(self) -> list[AttemptPaths]:
        """Attempts that have a directory, oldest first: job ids only grow, and so do restarts of one job."""
        found = [AttemptPaths(path, self) for path in self.attempts.glob("*/*") if path.is_dir()]
        return sorted(found, key=lambda attempt: [int(part) for part in re.findall(r"\d+", attempt.name)])


@dataclass(frozen=True)
class AttemptPaths:
    """Files of one attempt; `root` is `attempts/<shard>/<job id>.<restart>`."""

    root: Path
    run: RunPaths

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def job_id(self) -> str:
        return self.root.name.rsplit(".", 1)[0]

    @property
    def shard(self) -> int:
        return int(self.root.parent.name)

    @property
    def slurm_log(self) -> Path:
        """Link to the output of the batch script."""
        return self.root / "slurm.log"

    @property
    def driver_log(self) -> Path:
        return self.root / "driver.log"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def failures(self) -> Path:
        return self.root / "failures.jsonl"

    @property
    def outcome(self) -> Path:
        return self.root / "outcome.json"

    @property
    def exit_code(self) -> Path:
        """exit-code: what the batch script shall end with; written by the head agent as its last act."""
        return self.root / "exit-code"

    @property
    def result(self) -> Path:
        """driver.json: what the driver tells the head agent at its end (error class, message, traceback)."""
        return self.root / "driver.json"

    @property
    def cluster(self) -> Path:
        """cluster.json: address, ports and node names of the Ray cluster; never a token."""
        return self.root / "cluster.json"

    @property
    def heartbeat(self) -> Path:
        """Touched by the head agent; when it stops, the head is lost."""
        return self.root / "heartbeat"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def outputs(self) -> Path:
        """Staging of this attempt's outputs: `${output_dir}`."""
        return self.root / "outputs"

    @property
    def token(self) -> Path:
        """Ray's authentication token of this attempt."""
        return self.run.secrets / f"ray-token.{self.root.parent.name}.{self.root.name}"

    def node(self, name: str) -> NodePaths:
        return NodePaths(self.nodes / name)

    def existing_nodes(self) -> list[NodePaths]:
        return [NodePaths(path) for path in sorted(self.nodes.glob("*")) if path.is_dir()]


@dataclass(frozen=True)
class NodePaths:
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
