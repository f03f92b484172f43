"""Submitting: from a spec on disk to a run that Slurm, or this machine, has taken."""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import NewRun, Run, Submission, run_comment
from curator_slurm.launcher.runs.secrets import collect_secrets
from curator_slurm.launcher.slurm import client, messages

if TYPE_CHECKING:
    from curator_slurm.launcher.sharding.plan_shards import ShardPlan
    from curator_slurm.launcher.slurm.submitit_adapter import CuratorLocalJob, CuratorSlurmJob
    from curator_slurm.launcher.spec.spec_file import Reading

RUN_DIR_PLACEHOLDER = "<run directory>"


@dataclass(frozen=True)
class Choice:
    """Where a run goes, and why."""

    cluster: Cluster
    reason: str


@dataclass(frozen=True)
class Prepared:
    """A submission that has passed every check and has written nothing yet."""

    plan: Plan
    plan_text: str
    script: str
    spec_path: str
    spec_text: str
    folder: Path
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    shards: ShardPlan | None = None

    @property
    def command(self) -> list[str]:
        """The command that will submit it, with a placeholder where the run directory will stand."""
        run_dir = self.folder / self.plan.spec.name / RUN_DIR_PLACEHOLDER
        if self.plan.cluster is Cluster.LOCAL:
            return ["bash", str(RunPaths(run_dir).script), *([] if self.shards is None else ["0000"])]
        comment = str(self.plan.spec.resources.sbatch.get("comment") or "")
        return client.submit_command(
            run_dir, RunPaths(run_dir).script, client.SbatchCall(comment=run_comment("<run id>", comment))
        )


@dataclass(frozen=True)
class Submitted:
    """A run that was taken."""

    run: Run
    job_ids: Sequence[str]
    removed_variables: Sequence[str] = ()
    notes: Sequence[str] = ()
    error: CuratorSlurmError | None = None
    problem: str = ""
    """What was not accepted of a sharded run, and what to do about it."""

    @property
    def job_id(self) -> str:
        """The job, or the first of several arrays; empty where none is known."""
        return self.job_ids[0] if self.job_ids else ""


def choose_cluster(wanted: str) -> Choice:
    """`auto` is Slurm where there is sbatch, else this machine; asking for Slurm without sbatch is an error."""
    if wanted == "local":
        return Choice(Cluster.LOCAL, "--cluster local was given")
    found = client.is_available()
    if wanted == "slurm":
        if not found:
            raise SlurmError(messages.not_found("sbatch", os.environ.get("PATH", "")), ["sbatch"])
        return Choice(Cluster.SLURM, "--cluster slurm was given")
    if found:
        return Choice(Cluster.SLURM, "sbatch is on PATH")
    return Choice(Cluster.LOCAL, "there is no sbatch on PATH")


def prepare(
    spec_path: Path,
    overrides: Sequence[str],
    cluster: Cluster,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
) -> Prepared:
    """Read and check a spec file; see `prepare_reading`."""
    from curator_slurm.launcher.spec import spec_file

    path = spec_path.absolute()
    return prepare_reading(spec_file.read(spec_path, overrides), path.parent, cluster, environ, progress, str(path))


def prepare_reading(
    reading: Reading,
    spec_dir: Path,
    cluster: Cluster,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
    spec_path: str = "",
) -> Prepared:
    """Check everything; every error of the spec is reported, and nothing is written.

    Relative paths of the spec begin at `spec_dir`. The input of a sharded run is listed and split into shards here;
    `progress` is told how far that is.
    """
    from curator_slurm.launcher.plan.resolve import plan_of
    from curator_slurm.launcher.plan.script import render
    from curator_slurm.launcher.sharding.plan_shards import plan_shards

    plan = plan_of(reading, spec_dir, cluster, environ)
    storage = plan.spec.storage.runs
    return Prepared(
        plan=plan,
        plan_text=plan.to_yaml(),
        script=render(plan),
        spec_path=spec_path,
        spec_text=reading.text,
        folder=Path(storage) if storage else registry.default_folder(environ),
        secret_environment=collect_secrets(plan.spec.environment.secrets, environ, reading.source),
        shards=plan_shards(plan, progress) if plan.spec.shards is not None else None,
    )


def submit(prepared: Prepared, environ: Mapping[str, str]) -> Submitted:
    """Make the run directory and submit it; nothing is left of a run that was refused."""
    cluster = prepared.plan.cluster
    if cluster is Cluster.SLURM and not client.is_available():
        raise SlurmError(messages.not_found("sbatch", environ.get("PATH", "")), ["sbatch"])
    new = _new_run(prepared)
    if prepared.shards is not None:
        return _submit_sharded(prepared, prepared.shards, new, environ)
    run = registry.create_run(prepared.folder, new)
    registry.remember_folder(prepared.folder, environ)
    try:
        job = _start(run, cluster, str(prepared.plan.spec.resources.sbatch.get("comment") or ""))
    except (SlurmError, StorageError) as error:
        if not (isinstance(error, SlurmError) and error.may_have_worked):
            registry.remove_run(run)
        raise
    return _record(run, job)


def _new_run(prepared: Prepared) -> NewRun:
    shards = prepared.shards

    def fill(paths: RunPaths) -> None:
        from curator_slurm.launcher.runs.manifest import write_manifest

        assert shards is not None
        paths.elements.mkdir(mode=0o700)
        write_manifest(paths.manifest, shards.shards)

    return NewRun(
        name=prepared.plan.spec.name,
        cluster=prepared.plan.cluster.value,
        spec_path=prepared.spec_path,
        spec_text=prepared.spec_text,
        plan_text=prepared.plan_text,
        plan_sha256=sha256(prepared.plan_text.encode()).hexdigest(),
        script=prepared.script,
        secret_environment=prepared.secret_environment,
        shards=len(shards.shards) if shards is not None else None,
        fill=fill if shards is not None else None,
    )


def _submit_sharded(prepared: Prepared, shards: ShardPlan, new: NewRun, environ: Mapping[str, str]) -> Submitted:
    from curator_slurm.launcher.operations.submit_shards import submit_shards

    launched = submit_shards(prepared.folder, new, prepared.plan)
    registry.remember_folder(prepared.folder, environ)
    return Submitted(
        launched.run,
        launched.job_ids,
        launched.removed_variables,
        [*shards.notes, *launched.notes],
        launched.error,
        launched.problem,
    )


def _start(run: Run, cluster: Cluster, comment: str = "") -> CuratorSlurmJob | CuratorLocalJob:
    """Hand the run over, through submitit."""
    from curator_slurm.launcher.slurm.submitit_adapter import CuratorLocalExecutor, CuratorSlurmExecutor

    executor = CuratorLocalExecutor if cluster is Cluster.LOCAL else CuratorSlurmExecutor
    call = client.SbatchCall(comment=run_comment(run.run_id, comment))
    job: CuratorSlurmJob | CuratorLocalJob = executor(run.paths.root).submit_script(call)
    return job


def _record(run: Run, job: CuratorSlurmJob | CuratorLocalJob) -> Submitted:
    submission = Submission(
        job_id=job.job_id,
        submitted=time.time(),
        host=socket.gethostname(),
        pid=getattr(job, "pid", None),
        pid_started=getattr(job, "pid_started", None),
        slurm_cluster=getattr(job, "slurm_cluster", None),
    )
    removed = getattr(job, "removed_variables", ())
    return Submitted(registry.add_submission(run, submission), [job.job_id], removed)


def show_command(command: Sequence[str]) -> str:
    """A command as a user would type it."""
    return shlex.join(command)
