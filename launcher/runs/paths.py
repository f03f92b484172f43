"""The names of all files of a run. Templates and code get paths from here alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.files import folders_in
from curator_slurm.launcher.runs.attempt_names import EPOCH, STATE, is_attempt, order_of
from curator_slurm.launcher.runs.measured_files import DriverFiles
from curator_slurm.launcher.runs.node_paths import NodePaths
from curator_slurm.launcher.runs.report_files import ReportFiles
from curator_slurm.launcher.runs.restart_files import RestartFiles, SubmissionAnswers


@dataclass(frozen=True)
class RunPaths(ReportFiles):
    """Files of one run; `root` is `<runs>/<name>/<run_id>`."""

    root: Path
    target: Path | None = None
    """Where the outputs of a run without `shards` are published; None where every shard has a folder of its own."""

    @classmethod
    def of_run(cls, root: Path, *, array: bool, output_path: str | None) -> RunPaths:
        """The files of a run with these outputs: an array publishes its shards in the run directory."""
        if array:
            return cls(root)
        return cls(root, Path(output_path) if output_path else root / "outputs")

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
        """run.json: who submitted what, when, and the job ids of all submissions."""
        return self.root / "run.json"

    @property
    def script(self) -> Path:
        """Exactly what was given to sbatch."""
        return self.root / "job.sbatch"

    @property
    def code(self) -> Path:
        """The user's modules as they were when the run was submitted; on the module path of the job."""
        return self.root / "code"

    @property
    def code_record(self) -> Path:
        """code.json: what is in `code`, written after it."""
        return self.root / "code.json"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    def attempts_of(self, shard: int) -> Path:
        """The folders of all attempts at one shard."""
        return self.attempts / f"{shard:05d}"

    def attempt(self, shard: int, name: str) -> AttemptPaths:
        """The attempt that the element `name`, <job id>.<restart>, made at a shard."""
        return AttemptPaths(self.attempts_of(shard) / name, self)

    @property
    def outputs(self) -> Path:
        """Published outputs: one folder per shard of an array, else the outputs themselves without `output.path`."""
        return self.root / "outputs"

    def shard_outputs(self, shard: int) -> Path:
        """Published outputs of one shard; appears by one rename, once, whichever attempt processed the shard."""
        return self.target or self.outputs / f"shard-{shard:05d}"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def manifest(self) -> Path:
        """Which input files make up which shard, one line per shard; written once, before the first submission."""
        return self.shards / "manifest.jsonl"

    def done(self, shard: int) -> Path:
        """The shard is finished: its outputs are published. Written once, after the rename."""
        return self.shards / f"{shard:05d}.done.json"

    @property
    def submissions(self) -> Path:
        """One folder for each sbatch call."""
        return self.root / "submissions"

    def submission(self, number: int) -> SubmissionPaths:
        return SubmissionPaths(self.submissions / f"{number:04d}", self)

    @property
    def elements(self) -> Path:
        """What belongs to a job (an array element) and its Ray cluster: one folder per job id and restart."""
        return self.root / "elements"

    def element(self, job_id: str, restart: int) -> Path:
        """Folder of a job `4711` or an array element `4711_12`, started for the `restart`th time again."""
        return self.elements / f"{job_id}.{restart}"

    @property
    def merged(self) -> Path:
        """Merged outputs of a sharded run without `output.path`."""
        return self.root / "merged"

    @property
    def collected(self) -> Path:
        """collected.json: where `collect` has published the outputs of a sharded run, and how much of them."""
        return self.root / "collected.json"

    @property
    def collect_script(self) -> Path:
        """The script of the collect job, where `output.collect` is auto."""
        return self.root / "collect.sbatch"

    @property
    def collect_jobs(self) -> Path:
        """collect-jobs.json: the collect jobs that were submitted."""
        return self.root / "collect-jobs.json"

    def collect_log(self, job_id: str) -> Path:
        return self.root / f"collect-{job_id}.log"

    def lock(self, purpose: str) -> Path:
        """Held by the command that is changing this side of the run."""
        return self.root / f".{purpose}.lock"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def secret_environment(self) -> Path:
        return self.secrets / "environment.json"

    def slurm_log(self, job_id: str) -> Path:
        """Output of the batch script; `job_id` as in %j, or `A_a` for an array element."""
        return (self.elements if "_" in job_id else self.root) / f"slurm-{job_id}.log"

    def existing_attempts(self) -> list[AttemptPaths]:
        """Attempts that have a directory, oldest first."""
        folders = [path for shard in folders_in(self.attempts) for path in folders_in(shard)]
        found = [AttemptPaths(path, self) for path in folders if is_attempt(path.name)]
        return sorted(found, key=lambda attempt: order_of(attempt.name))

    def existing_elements(self) -> list[ClusterPaths]:
        """Jobs and array elements that have a directory, oldest first."""
        found = [ClusterPaths(path, self) for path in folders_in(self.elements) if "." in path.name]
        return sorted(found, key=lambda element: order_of(element.name))


@dataclass(frozen=True)
class SubmissionPaths(SubmissionAnswers):
    """Files of one sbatch call; `root` is `submissions/<number>`.

    The folder is there before sbatch is called: one without a recorded job id was interrupted, and its job may exist.
    """

    root: Path
    run: RunPaths

    @property
    def number(self) -> int:
        return int(self.root.name)

    @property
    def elements(self) -> Path:
        """elements.jsonl: which shards each array element processes, one line per element."""
        return self.root / "elements.jsonl"

    @property
    def record(self) -> Path:
        """submission.json: why and when it was made, and its job id once Slurm has given one."""
        return self.root / "submission.json"

    @property
    def plan(self) -> Path:
        """The plan of this submission, where it differs from the run's own (`retry --set`)."""
        return self.root / "plan.yaml"

    @property
    def code(self) -> Path:
        """The user's modules of this submission and later ones, where `retry --update-code` has taken them again."""
        return self.root / "code"

    @property
    def code_record(self) -> Path:
        return self.root / "code.json"

    @property
    def script(self) -> Path:
        """The script of this submission, where it differs from the run's own."""
        return self.root / "job.sbatch"

    @property
    def staging(self) -> Path:
        """staging.json: what was to be staged, as it was then."""
        return self.root / "staging.json"


@dataclass(frozen=True)
class ClusterPaths(RestartFiles):
    """Files of one Ray cluster and of the job that it lives in; `root` is `elements/<job id>.<restart>`."""

    root: Path
    run: RunPaths

    @property
    def name(self) -> str:
        """Job id and restart: `4711_12.1`."""
        return self.root.name

    @property
    def job_id(self) -> str:
        return self.root.name.rsplit(".", 1)[0]

    @property
    def slurm_log(self) -> Path:
        """Link to the output of the batch script."""
        return self.root / "slurm.log"

    @property
    def node_script(self) -> Path:
        """node.sh: what the nodes run, written by the batch script; no command line shows it."""
        return self.root / "node.sh"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def outcome(self) -> Path:
        return self.root / "outcome.json"

    @property
    def ending(self) -> Path:
        """ending.json: how the job ends, by its head, from a signal until outcome.json is there."""
        return self.root / "ending.json"

    @property
    def drain_request(self) -> Path:
        """drain: Slurm has told the batch script that it will end the job; left by that script for the head agent."""
        return self.root / "drain"

    @property
    def exit_code(self) -> Path:
        """exit-code: what the batch script shall end with; written by the head agent as its last act."""
        return self.root / "exit-code"

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
    def meeting(self) -> Path:
        """Where nodes see each other's files, in the job of `doctor` alone."""
        return self.root / "meeting"

    @property
    def token(self) -> Path:
        """Ray's authentication token of this cluster."""
        return self.run.secrets / f"ray-token.{self.root.name}"

    @property
    def tls(self) -> Path:
        """Certificates and keys of this cluster's nodes, and of the authority that they trust (`cluster.tls`)."""
        return self.run.secrets / f"ray-tls.{self.root.name}"

    def attempt(self, shard: int) -> AttemptPaths:
        """The attempt that this job makes at a shard."""
        return self.run.attempt(shard, self.name)

    def node(self, name: str) -> NodePaths:
        return NodePaths(self.nodes / name)

    def existing_nodes(self) -> list[NodePaths]:
        return [NodePaths(path) for path in folders_in(self.nodes)]


@dataclass(frozen=True)
class AttemptPaths(DriverFiles):
    """Files of one attempt at a shard; `root` is `attempts/<shard>/<job id>.<restart>`."""

    root: Path
    run: RunPaths

    @property
    def name(self) -> str:
        """Job id and restart, as of the element that makes the attempt: `4711_12.1`."""
        return self.root.name

    @property
    def cluster(self) -> ClusterPaths:
        """The element that makes the attempt."""
        return ClusterPaths(self.run.elements / self.name, self.run)

    @property
    def outcome(self) -> Path:
        return self.root / "outcome.json"

    @property
    def shard(self) -> int:
        return int(self.root.parent.name)

    @property
    def element(self) -> Path:
        """Link to the folder of the element that makes this attempt."""
        return self.root / "element"

    @property
    def driver_log(self) -> Path:
        return self.root / "driver.log"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def failures(self) -> Path:
        return self.root / "failures.jsonl"

    @property
    def command_script(self) -> Path:
        """command.sh: a `pipeline.command` given as text, with its values bound to variables."""
        return self.root / "command.sh"

    @property
    def result(self) -> Path:
        """driver.json: what the driver tells the head agent at its end (error class, message, traceback)."""
        return self.root / "driver.json"

    @property
    def drain(self) -> Path:
        """drain: there from when the attempt was told to begin nothing more."""
        return self.root / "drain"

    @property
    def work(self) -> Path:
        """What is finished so far, which the next attempt takes over by one rename. A file, once one has."""
        return self.root / "work"

    @property
    def outputs(self) -> Path:
        """Staging of this attempt's outputs: `${output_dir}`."""
        return self.work / "outputs"

    @property
    def checkpoint(self) -> Path:
        """The log of finished source partitions, where the spec has no `checkpoint_path`."""
        return self.work / "checkpoint"

    @property
    def identity(self) -> Path:
        """identity.json: whose `work` it is, and what must be the same for another attempt to go on with it."""
        return self.work / "identity.json"

    @property
    def takeover(self) -> Path:
        """takeover.json: what this attempt has taken over, of which attempt; or why it began anew."""
        return self.root / "takeover.json"

    @property
    def epoch(self) -> Path:
        """Which attempt at the shard is the newest, and how many have begun: replaced by each when it begins."""
        return self.root.parent / EPOCH

    @property
    def state(self) -> Path:
        """What a `pipeline.command` keeps for later attempts at its shard, until one has succeeded."""
        return self.root.parent / STATE
