"""What this machine says, and the plan of the job that looks at nodes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.doctor.examine import host, proxies
from curator_slurm.launcher.doctor.machine_facts import FolderFacts, LoginFacts, StagingFacts
from curator_slurm.launcher.doctor.shared_folder import look_at
from curator_slurm.launcher.errors import SitePolicyError, SlurmError, SpecError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.plan.staging import staged_roots, staging_choice
from curator_slurm.launcher.runs.known_folders import default_folder
from curator_slurm.launcher.site.layers import load
from curator_slurm.launcher.site.specs import read_spec, read_spec_text
from curator_slurm.launcher.slurm import client
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.cluster_config import parse_slurm_configuration
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.data_sections import OutputSpec
from curator_slurm.launcher.spec.node_sections import HeadUse
from curator_slurm.launcher.spec.restart_section import Mechanism, RestartSpec
from curator_slurm.launcher.staging import store
from curator_slurm.launcher.staging.tree import tree_of

TIME_LIMIT = "0:10:00"
NAME = "curator-slurm-doctor"
_NO_SPEC = f'name: {NAME}\npipeline: {{command: "true"}}\n'


@dataclass(frozen=True)
class Asked:
    """What the user wants to have looked at; `nodes` 0: this machine alone."""

    spec: Path | None = None
    overrides: Sequence[str] = ()
    nodes: int = 0


def look_at_login(asked: Asked, environ: Mapping[str, str]) -> tuple[LoginFacts, Plan | None]:
    """The facts of this machine, and the plan of a job, unless the spec or a site file is wrong.

    Raises:
        UsageError: there is no spec at that path.
    """
    version, slurm_problem, slurm_step = _slurm()
    site_files, site_problems = _site(asked, environ)
    plan, problems, warnings = None, list[str](), list[str]()
    if not site_problems:
        plan, problems, warnings = _plan(asked, environ)
    runs = _runs(plan, asked, environ)
    facts = LoginFacts(
        host=host(),
        python=sys.executable,
        version=__version__,
        slurm_version=version,
        slurm_problem=slurm_problem,
        slurm_step=slurm_step,
        slurm_needed=bool(asked.nodes) or client.is_available(),
        site_files=tuple(site_files),
        site_problems=tuple(site_problems),
        spec=str(asked.spec or ""),
        spec_problems=tuple(problems),
        spec_warnings=tuple(warnings),
        runs=runs,
        staging=_staging(plan) if plan is not None else None,
        proxies=proxies(os.environ),
    )
    return facts, plan


def _slurm() -> tuple[str, str, str]:
    if not client.is_available():
        step = "load the module of Slurm, or go to a login node; without Slurm runs are made on this machine"
        return "", "sbatch is not on this machine's PATH", step
    try:
        text = Slurm().within(30.0).run(["scontrol", "show", "config"], retry=False)
        return parse_slurm_configuration(text).version, "", ""
    except SlurmError as error:
        said, _, step = str(error).partition("\n")
        return "", said, step or "ask the administrators whether the controller works (sinfo)"
    except UnreadableOutputError:
        return "unknown", "", ""


def _site(asked: Asked, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    folder = spec_file.folder_of(asked.spec) if asked.spec else Path.cwd()
    try:
        return [str(layer.path) for layer in load(folder, environ).layers], []
    except (SpecError, SitePolicyError) as error:
        return [], [str(problem) for problem in error.problems]


def _plan(asked: Asked, environ: Mapping[str, str]) -> tuple[Plan | None, list[str], list[str]]:
    """The plan, or why there is none, and warnings."""
    reading = None
    try:
        if asked.spec is not None:
            reading, layers = read_spec(asked.spec, asked.overrides, environ)
            folder = spec_file.folder_of(asked.spec)
        else:
            folder = Path.cwd()
            reading, layers = read_spec_text(_NO_SPEC, "doctor", folder, asked.overrides, environ)
        plan = plan_of(reading, folder, Cluster.SLURM, os.environ, publishes=False, layers=layers)
    except (SpecError, SitePolicyError) as error:
        return None, [str(problem) for problem in error.problems] or [str(error)], []
    return plan, [], [str(note) for note in reading.warnings()] if asked.spec else []


def _runs(plan: Plan | None, asked: Asked, environ: Mapping[str, str]) -> FolderFacts | None:
    if plan is None and (asked.spec or asked.overrides):
        return None
    return look_at(runs_folder(plan, environ))


def _staging(plan: Plan) -> StagingFacts | None:
    """What goes to the nodes' own disks, looked at as `submit` does it."""
    if staging_choice(plan) is None:
        return None
    if plan.python is None:
        return StagingFacts(problem="the prefix of the conda environment is not known here")
    try:
        roots = staged_roots(plan, plan.python)
        tree = tree_of(roots)
    except OSError as error:
        return StagingFacts(problem=f"what is staged cannot be seen here: {storage_errors.what(error)}")
    if not roots:
        return None
    is_packed = (store.folder_of(Path(plan.spec.storage.runs or "")) / tree.key / store.INDEX).is_file()
    return StagingFacts(files=tree.files, room=tree.room, is_packed=is_packed, outside=tree.outside)


def runs_folder(plan: Plan | None, environ: Mapping[str, str]) -> Path:
    """Where runs of a plan are."""
    named = plan.spec.storage.runs if plan is not None else None
    return Path(named) if named else default_folder(environ)


def for_doctor(plan: Plan, nodes: int) -> Plan:
    """The plan of a short job on so many of the nodes that the spec asks for, with its software and its site.

    It has no shards and waits for nobody. Of groups of nodes, each has so many at most.
    """
    spec = plan.spec
    groups = [group.model_copy(update={"nodes": min(group.nodes, nodes)}) for group in spec.resources.groups]
    count = sum(group.nodes for group in groups) if groups else nodes
    update = {"nodes": count, "time": TIME_LIMIT, "groups": groups}
    return plan.model_copy(
        update={
            "spec": spec.model_copy(
                update={
                    "name": NAME,
                    "resources": spec.resources.model_copy(update=update),
                    "cluster": spec.cluster.model_copy(update={"min_nodes": None, "head": HeadUse.SHARED}),
                    "shards": None,
                    "output": OutputSpec(path=spec.output.path),
                    "restart": RestartSpec(mechanism=Mechanism.OFF),
                }
            )
        }
    )
