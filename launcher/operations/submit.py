"""Submitting: from a spec on disk to a run that Slurm, or this machine, has accepted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError
from curator_slurm.launcher.notify.webhook_address import address_for
from curator_slurm.launcher.operations.collect_job import collects_itself, submit_collect_job
from curator_slurm.launcher.operations.launch import Launched, Order, explain_first, is_submit_limit, launch
from curator_slurm.launcher.operations.output_in_use import claimed_outputs, refuse_output_in_use
from curator_slurm.launcher.operations.queue_limit import fitting
from curator_slurm.launcher.operations.sweep import sweep_secrets
from curator_slurm.launcher.operations.unclear import refuse_to_submit_twice
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.modules import code_of
from curator_slurm.launcher.plan.node_facts import purge_days
from curator_slurm.launcher.runs import owners, registry
from curator_slurm.launcher.runs.known_folders import default_folder, known_folders, remember_folder
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, RunLock
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import NewRun, Run, run_comment
from curator_slurm.launcher.runs.secrets import collect_secrets
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.runs.user_code import newest_code
from curator_slurm.launcher.sharding.plan_arrays import arrays_for
from curator_slurm.launcher.slurm import client, messages

if TYPE_CHECKING:
    from curator_slurm.launcher.sharding.plan_shards import ShardPlan
    from curator_slurm.launcher.site.layers import Layers
    from curator_slurm.launcher.spec.spec_file import Reading

RUN_DIR_PLACEHOLDER = "<run directory>"
RUN_ID_PLACEHOLDER = "<run id>"


@dataclass(frozen=True)
class ClusterChoice:
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
    shards: ShardPlan
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """The command that will submit it, with a placeholder where the run directory will stand."""
        run_dir = self.folder / self.plan.spec.name / RUN_DIR_PLACEHOLDER
        if self.plan.cluster is Cluster.LOCAL:
            return ["bash", str(RunPaths(run_dir).script), "0000", RUN_ID_PLACEHOLDER]
        comment = str(self.plan.spec.resources.sbatch.get("comment") or "")
        call = client.SbatchCall(
            comment=run_comment(RUN_ID_PLACEHOLDER, comment), arguments=["0000", RUN_ID_PLACEHOLDER]
        )
        return client.submit_command(run_dir, RunPaths(run_dir).script, call)


@dataclass(frozen=True)
class Submitted:
    """A run that was accepted."""

    launched: Launched
    notes: Sequence[str] = ()

    @property
    def run(self) -> Run:
        return self.launched.run

    @property
    def job_ids(self) -> Sequence[str]:
        return self.launched.job_ids

    @property
    def error(self) -> CuratorSlurmError | None:
        return self.launched.error

    @property
    def problem(self) -> str:
        """What was not accepted, and what to do about it."""
        return self.launched.problem

    @property
    def removed_variables(self) -> Sequence[str]:
        """What was in our environment and would have changed what sbatch does."""
        return self.launched.removed_variables

    @property
    def job_id(self) -> str:
        """The job, or the first of several arrays; empty where none is known."""
        return self.job_ids[0] if self.job_ids else ""


def choose_cluster(wanted: str) -> ClusterChoice:
    """`auto` is Slurm where there is sbatch, else this machine; asking for Slurm without sbatch is an error."""
    if wanted == "local":
        return ClusterChoice(Cluster.LOCAL, "--cluster local was given")
    found = client.is_available()
    if wanted == "slurm":
        if not found:
            raise SlurmError(messages.not_found("sbatch", os.environ.get("PATH", "")), ["sbatch"])
        return ClusterChoice(Cluster.SLURM, "--cluster slurm was given")
    if found:
        return ClusterChoice(Cluster.SLURM, "sbatch is on PATH")
    return ClusterChoice(Cluster.LOCAL, "there is no sbatch on PATH")


def prepare(
    spec_path: Path,
    overrides: Sequence[str],
    cluster: Cluster,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
    *,
    imports: bool = False,
) -> Prepared:
    """Read and check a spec file; see `prepare_reading`."""
    from curator_slurm.launcher.site.specs import read_spec
    from curator_slurm.launcher.spec import spec_file

    path, folder = str(spec_path.absolute()), spec_file.folder_of(spec_path)
    reading, layers = read_spec(spec_path, overrides, environ)
    return prepare_reading(reading, folder, cluster, environ, progress, path, imports=imports, layers=layers)


def prepare_reading(
    reading: Reading,
    spec_dir: Path,
    cluster: Cluster,
    environ: Mapping[str, str],
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
    spec_path: str = "",
    *,
    imports: bool = False,
    layers: Layers | None = None,
) -> Prepared:
    """Check everything, with `imports` the pipeline, too; every error is reported, and nothing is written.

    Relative paths of the spec begin at `spec_dir`. The input is listed here, and split where the spec has
    `shards`; `progress` is told how far that is.
    """
    from curator_slurm.launcher.plan.resolve import plan_of
    from curator_slurm.launcher.plan.script import render
    from curator_slurm.launcher.sharding.plan_shards import plan_shards

    def claimed(plan: Plan) -> set[Path]:
        return claimed_outputs(plan, _folders(Path(plan.spec.storage.runs or default_folder(environ)), environ))

    plan = plan_of(reading, spec_dir, cluster, environ, imports=imports, layers=layers, claimed=claimed)
    storage = plan.spec.storage.runs
    return Prepared(
        plan=plan,
        plan_text=plan.to_yaml(),
        script=render(plan),
        spec_path=spec_path,
        spec_text=reading.text,
        folder=Path(storage) if storage else default_folder(environ),
        secret_environment={
            **collect_secrets(plan.spec.environment.secrets, environ, reading.source),
            **address_for(plan.spec.notify, environ, reading.source),
        },
        shards=plan_shards(plan, progress),
        warnings=[str(warning) for warning in reading.warnings()],
    )


def submit(prepared: Prepared, environ: Mapping[str, str], *, feeds: bool = False) -> Submitted:
    """Make the run directory and submit it; nothing is left of a run that was refused.

    `feeds`: somebody stays to submit what there is no room for in the queue now, so the run is kept without any job.

    Where Slurm accepted some arrays and refused others, or may have accepted one although its answer was lost, the
    result has the error and the run stays: `retry` submits what is missing.

    Raises:
        UnclearSubmissionError: a run of the same plan may be in Slurm, because its submission was interrupted.
    """
    plan = prepared.plan
    if plan.cluster is Cluster.SLURM and not client.is_available():
        raise SlurmError(messages.not_found("sbatch", environ.get("PATH", "")), ["sbatch"])
    if plan.cluster is Cluster.SLURM:
        refuse_to_submit_twice(prepared.folder, plan.spec.name, _sha256(prepared))
    folders = _folders(prepared.folder, environ)
    in_use = refuse_output_in_use(plan.spec.output.path, folders) if plan.spec.output.path else []
    arrays = arrays_for(plan, range(len(prepared.shards.shards)), client.Slurm())
    room = fitting(plan, arrays, client.Slurm(), collects=collects_itself(plan))
    if not (feeds and plan.array):
        room.or_refuse()
    order = Order(arrays=room.arrays, purpose="submit", plan=plan)
    run = registry.create_run(prepared.folder, _new_run(prepared))
    remember_folder(prepared.folder, environ)
    try:
        with RunLock(run.paths.lock(SUBMISSIONS_LOCK), "submit") as lock:
            launched = launch(run, order, lock)
    except StorageError:
        _remove_unless_submitted(run)
        raise
    error = launched.error
    if error is not None and not launched.accepted and not _may_go_on(error, feeds=feeds and plan.array):
        registry.remove_run(run)
        raise explain_first(error, order)
    notes = [*prepared.warnings, *prepared.shards.notes, *in_use, *launched.notes, *_exposed(prepared.folder)]
    if code := newest_code(run.paths):
        notes += code[1].sentences()
    notes += room.note(launched.run.run_id)
    if room.collects and (problem := submit_collect_job(launched.run, plan, launched.job_ids)):
        notes.append(problem)
    sweep_secrets(prepared.folder, but=run.paths.root)
    return Submitted(launched, notes)


def _may_go_on(error: CuratorSlurmError, *, feeds: bool) -> bool:
    """Whether a run is kept of which no job is known: one may exist, or is submitted when there is room."""
    return isinstance(error, SlurmError) and (error.may_have_worked or (feeds and is_submit_limit(error)))


def write_run(prepared: Prepared, folder: Path, environ: Mapping[str, str]) -> Run:
    """The run directory in `folder`, without its secrets: somebody else submits it, by `retry` or by hand.

    Raises:
        StorageError: it cannot be made.
    """
    new = replace(_new_run(prepared), secret_environment={})
    run = registry.create_run(folder, new)
    remember_folder(folder, environ)
    return run


def _folders(first: Path, environ: Mapping[str, str]) -> list[Path]:
    """Where runs of this user may be."""
    return list(dict.fromkeys([first, *known_folders(environ)]))


def _exposed(folder: Path) -> list[str]:
    """What is to be said of a place where everybody can swap run directories."""
    where = owners.open_to_all(folder)
    if where is None:
        return []
    return [
        f"everybody may rename what is in {where} (it is writable by all, without the sticky bit), and so put a "
        "folder of theirs in the place of this run's. The job refuses to read it, but its log may go there: "
        f"chmod +t {where}, or choose another storage.runs"
    ]


def _sha256(prepared: Prepared) -> str:
    return sha256(prepared.plan_text.encode()).hexdigest()


def _new_run(prepared: Prepared) -> NewRun:
    plan = prepared.plan
    return NewRun(
        name=plan.spec.name,
        cluster=plan.cluster.value,
        spec_path=prepared.spec_path,
        spec_text=prepared.spec_text,
        plan_text=prepared.plan_text,
        plan_sha256=_sha256(prepared),
        script=prepared.script,
        secret_environment=prepared.secret_environment,
        output_path=plan.spec.output.path or "",
        array=plan.array,
        poll_s=0.0 if plan.site is None else float(plan.at_site().limits.poll_s or 0.0),
        shards=prepared.shards.shards,
        list_sha256=prepared.shards.list_sha256,
        code=code_of(plan),
        purge_days=purge_days(plan),
        travels=bool(plan.containers),
    )


def _remove_unless_submitted(run: Run) -> None:
    """Remove a run of which no job can exist."""
    try:
        submissions = read_submissions(run.paths)
    except StorageError:
        return
    if not submissions:
        registry.remove_run(run)


def show_command(command: Sequence[str]) -> str:
    """A command as a user would type it."""
    return shlex.join(command)
