"""The collect job of a run with `output.collect: auto`: it publishes the outputs when the arrays have ended.

It is a convenience, never the only way: `collect` by hand does the same, and both at once do it once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import collect_jobs, collected_after, note_collect_job
from curator_slurm.launcher.slurm.client import SbatchCall, Slurm
from curator_slurm.launcher.slurm.detached import local_environment, start_detached
from curator_slurm.launcher.spec.data_sections import CollectMode

_NEWEST = 20
"""Collect jobs of a run that may still be in the queue; those before them have ended."""


def collects_itself(plan: Plan) -> bool:
    """Whether a job collects at the end of its runs."""
    return plan.spec.output.collect is CollectMode.AUTO


def has_collect_job(run: RunPaths, slurm: Slurm) -> bool:
    """Whether one waits or runs, besides the one that this is called from.

    Raises:
        SlurmError: Slurm cannot be asked.
    """
    own = os.environ.get("SLURM_JOB_ID")
    jobs = [job for job in collect_jobs(run) if job != own]
    return any(not entry.state.is_final for entry in slurm.arrays(jobs[-_NEWEST:]))


def is_collected_after(run: RunPaths, job_id: str) -> bool:
    """Whether the newest of them waits for this job, or has waited for it."""
    return job_id in collected_after(run)


def submit_collect_job(run: Run, plan: Plan, job_ids: Sequence[str]) -> str:
    """Submit the collect job where the plan wants one; a sentence about what went wrong, if anything did."""
    if not collects_itself(plan) or not job_ids:
        return ""
    error = try_collect_job(run, plan, job_ids)
    return "" if error is None else not_accepted(run, error)


def try_collect_job(run: Run, plan: Plan, job_ids: Sequence[str]) -> CuratorSlurmError | OSError | None:
    """Submit one that waits for the end of these jobs; the error where it is not accepted."""
    try:
        if plan.cluster is Cluster.LOCAL:
            _start_here(run.paths)
        else:
            _submit(run.paths, plan, job_ids)
    except (CuratorSlurmError, OSError) as error:
        return error
    return None


def not_accepted(run: Run, error: CuratorSlurmError | OSError) -> str:
    """What to say where no such job was accepted."""
    return (
        f"the job that publishes the outputs at the end (output.collect: auto) was not accepted: {error}\n"
        f"`curator-slurm collect {reference(run, os.environ)} --wait` does it by hand."
    )


def _submit(run: RunPaths, plan: Plan, job_ids: Sequence[str]) -> None:
    from curator_slurm.launcher.plan.script import render_collect
    from curator_slurm.launcher.slurm.submitit_adapter import CuratorSlurmExecutor

    write_atomic(run.collect_script, render_collect(plan), mode=0o700)
    call = SbatchCall(
        comment=f"curator-slurm:{run.run_id}:collect:{len(collect_jobs(run))}",
        after=tuple(job_ids),
        arguments=["", run.run_id],
    )
    job = CuratorSlurmExecutor(run.root).submit_script(run.collect_script, call)
    note_collect_job(run, {"job_id": job.job_id, "submitted": time.time(), "after": list(job_ids)})


def _start_here(run: RunPaths) -> None:
    """On this machine, a process that waits for the end."""
    command = [sys.executable, "-P", "-m", "curator_slurm", "collect", "--wait", str(run.root)]
    start_detached(command, local_environment(os.environ), output=run.collect_log("local"))
