"""All of `doctor`: facts from here and from the job, and what the checks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from curator_slurm.launcher.doctor.check_login import check_login
from curator_slurm.launcher.doctor.check_nodes import NodeNeeds, check_nodes
from curator_slurm.launcher.doctor.check_together import check_job, check_together
from curator_slurm.launcher.doctor.job import Seen, run_job
from curator_slurm.launcher.doctor.login import Asked, for_doctor, look_at_login, runs_folder
from curator_slurm.launcher.doctor.machine_facts import LoginFacts
from curator_slurm.launcher.doctor.report import Check, DoctorReport, Result, make_report
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.slurm.client import Slurm


def diagnose(asked: Asked, environ: Mapping[str, str], *, wait_s: float, say: Callable[[str], None]) -> DoctorReport:
    """Look at this machine, and with `asked.nodes` at so many nodes, in a job.

    Raises:
        UsageError: there is no spec at the path.
    """
    login, plan = look_at_login(asked, environ)
    usable = login.runs is not None and not login.runs.problem and not login.slurm_problem
    if not asked.nodes or plan is None or not usable:
        return make_report(login.host, (), "", check_login(login))
    seen = run_job(for_doctor(plan, asked.nodes), runs_folder(plan, environ), Slurm(), wait_s=wait_s, say=say)
    return judge(login, seen, wanted(plan, login))


def wanted(plan: Plan, login: LoginFacts) -> NodeNeeds:
    """What a plan asks of nodes."""
    spec = plan.spec
    return NodeNeeds(
        ray=spec.cluster.ray,
        object_store_fraction=spec.cluster.object_store_fraction,
        runtimes=() if plan.site is None else plan.at_site().container.runtimes,
        check_gpus=spec.cluster.check_gpus,
        image=spec.environment.container.image if plan.containers and spec.environment.container else "",
        staged=login.staging.room if login.staging is not None else None,
    )


def judge(login: LoginFacts, seen: Seen, asked: NodeNeeds) -> DoctorReport:
    """The report on everything that was found. Pure."""
    checks = [
        *check_login(login),
        *check_job(seen.job, list(seen.facts)),
        *check_nodes(seen.facts, asked),
        *check_together(seen.facts, seen.meetings, seen.job, asked),
    ]
    nodes = list(dict.fromkeys([*seen.job.nodes, *seen.facts, *seen.job.refusals]))
    return make_report(login.host, nodes, seen.job.job_id, _without_echoes(checks))


def _without_echoes(checks: list[Check]) -> Iterator[Check]:
    """Of good storage the login node and all nodes say the same, twice: the nodes' word is enough."""
    of_nodes = {each.name for each in checks if each.nodes and each.result is Result.OK}
    for each in checks:
        if not (each.result is Result.OK and not each.nodes and each.name in of_nodes):
            yield each
