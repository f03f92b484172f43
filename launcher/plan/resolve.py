"""From a spec file, `--set` and a cluster to a plan: defaults filled in, paths absolute."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.plan import checks, literal_values, nested_folders, output_versions, staging
from curator_slurm.launcher.plan.in_partitions import place
from curator_slurm.launcher.plan.local_disk import ON_NODES, too_small, with_local_disk
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.node_layout import without_workers
from curator_slurm.launcher.plan.sbatch_lines import handed_on
from curator_slurm.launcher.plan.site_part import at_site, with_templates
from curator_slurm.launcher.runs.known_folders import default_folder
from curator_slurm.launcher.site.layers import Layers
from curator_slurm.launcher.site.specs import read_spec
from curator_slurm.launcher.spec import sbatch_options, spec_file
from curator_slurm.launcher.spec.data_sections import InputSpec
from curator_slurm.launcher.spec.environment_section import EnvironmentSpec
from curator_slurm.launcher.spec.locations import absolute, writable
from curator_slurm.launcher.spec.locks import refuse
from curator_slurm.launcher.spec.model import Spec, StorageSpec
from curator_slurm.launcher.spec.node_sections import BY_NEED, ClusterSpec, HeadUse, NodesSpec, ResourcesSpec
from curator_slurm.launcher.spec.notify_section import NotifySpec
from curator_slurm.launcher.spec.pipeline_section import StageSpec
from curator_slurm.launcher.spec.spec_file import Reading


def make_plan(
    spec_path: Path,
    set_options: Sequence[str],
    cluster: Cluster,
    environ: Mapping[str, str],
    python: str = sys.executable,
    *,
    publishes: bool = True,
) -> Plan:
    """The plan of a spec file; see `plan_of`."""
    reading, layers = read_spec(spec_path, set_options, environ)
    folder = spec_file.folder_of(spec_path)
    return plan_of(reading, folder, cluster, environ, python, publishes=publishes, layers=layers)


def plan_of(
    reading: Reading,
    folder: Path,
    cluster: Cluster,
    environ: Mapping[str, str],
    python: str = sys.executable,
    *,
    imports: bool = False,
    publishes: bool = True,
    layers: Layers | None = None,
    claimed: output_versions.Claims = output_versions.no_claims,
) -> Plan:
    """The plan of a spec whose relative paths begin at `folder`, and that was read on top of `layers`.

    `python` is the interpreter for the nodes where the spec names none. With `imports`, the pipeline is made in a
    process of its own, and what is wrong with it is among the errors; what could not be looked at, among the warnings.
    Without `publishes`, `output.path` may be full. `claimed` are folders that other runs are going to fill.

    Raises:
        SpecError: with every error in the spec, and what it names and this machine does not have.
        SitePolicyError: it asks for what the site refuses.
    """
    plan = resolve(reading, folder, cluster, environ, python)
    if plan is not None and layers is not None:
        plan = with_templates(at_site(plan, layers, reading), environ)
    if plan is not None:
        plan = with_local_disk(place(plan, reading), environ)
        for wrong in (*too_small(plan), *without_workers(plan)):
            reading.add_at(*wrong)
        plan = _with_internet(plan, reading)
        plan = _with_container(plan, reading, environ)
        for key, message in (*handed_on(plan), *staging.notes(plan), *literal_values.notes(plan.spec)):
            reading.note_at(key, message)
    refusals: list[SpecProblem] = []
    if plan is not None and plan.site is not None and cluster is Cluster.SLURM:
        plan, refusals = _by_the_rules(plan, reading)
    if plan is not None:
        asked = plan.spec.output.path
        plan = output_versions.with_free_version(plan, claimed) if publishes else plan
        for key, message in checks.problems(plan.spec, environ, Path(plan.spec_dir), publishes=publishes):
            reading.add_at(key, message)
        if publishes and (said := output_versions.note(plan, asked)):
            reading.note_at("output.path", said)
        for key, message in nested_folders.notes(plan.spec):
            reading.note_at(key, message)
        if imports:
            _look_at_pipeline(reading, plan, environ)
    reading.finish()
    refuse(refusals)
    assert plan is not None
    return plan


def _with_internet(plan: Plan, reading: Reading) -> Plan:
    """What a site says of the internet, for the run; without a site, its models are not loaded."""
    if plan.site is None:
        return plan
    from curator_slurm.launcher.plan import internet

    plan = internet.with_internet(plan)
    for key, message in internet.needs_internet(plan):
        reading.note_at(key, message)
    return plan


def _with_container(plan: Plan, reading: Reading, environ: Mapping[str, str]) -> Plan:
    """With what starts the container; without one, no model of site files is loaded."""
    if plan.spec.environment.container is None:
        return plan
    from curator_slurm.launcher.plan.containers import notes, with_container

    plan, wrong = with_container(plan, environ)
    for key, message in wrong:
        reading.add_at(key, message)
    if not wrong:
        for key, message in notes(plan, environ):
            reading.note_at(key, message)
    return plan


def _by_the_rules(plan: Plan, reading: Reading) -> tuple[Plan, list[SpecProblem]]:
    """The plan as its site wants it, and what the site refuses; what is missing, or done otherwise, is noted."""
    from curator_slurm.launcher.plan import site_rules

    site = plan.at_site()
    in_no_partition = any(each.key.startswith("resources.") for each in reading.problems)
    for key, message in site_rules.missing(plan, site):
        if not in_no_partition or not key.endswith(".time"):  # its partition may have a default
            reading.add_at(key, message)
    for key, message in site_rules.notes(plan):
        reading.note_at(key, message)
    return site_rules.within_limits(plan, site), site_rules.refused(plan, site)


def _look_at_pipeline(reading: Reading, plan: Plan, environ: Mapping[str, str]) -> None:
    """Note what is wrong with the pipeline, where the spec itself says nothing wrong about the same setting."""
    known = {problem.key for problem in reading.problems}
    if any(key.startswith("pipeline") for key in known):
        return  # its stages are not all there
    from curator_slurm.launcher.plan import pipeline_check

    for finding in pipeline_check.look(plan, environ):
        if not finding.is_error:
            reading.note_at(finding.key, finding.message)
        elif finding.key not in known:
            reading.add_at(finding.key, finding.message)


def choose_cluster(wanted: str, path: str | None = None) -> Cluster:
    """The cluster that `--cluster` names; `auto` is Slurm where sbatch is found on PATH.

    Unlike a submission, checking and rendering for Slurm needs no sbatch.
    """
    if wanted != "auto":
        return Cluster(wanted)
    return Cluster.SLURM if shutil.which("sbatch", path=path) else Cluster.LOCAL


class _Locator:
    """Makes the paths of one spec absolute and notes those that cannot be resolved."""

    def __init__(self, reading: Reading, folder: Path, environ: Mapping[str, str]) -> None:
        self.reading, self.folder, self.environ = reading, folder, environ

    def path(self, key: str, path: str | None, on_nodes: re.Pattern[str] | None = None) -> str | None:
        if path is None:
            return None
        try:
            return absolute(path, self.folder, self.environ, on_nodes=on_nodes)
        except ValueError as error:
            self.reading.add_at(key, f"`{key}` {error}")
            return None

    def found(self, key: str, what: str, path: str) -> str | None:
        """A path that is not from the spec, such as that of its folder; `key` is the nearest setting."""
        try:
            return writable(path)
        except ValueError as error:
            self.reading.add_at(key, f"{what} {error}")
            return None


def resolve(reading: Reading, folder: Path, cluster: Cluster, environ: Mapping[str, str], python: str) -> Plan | None:
    """The plan of a spec that was read; None if there is no usable spec. Paths that cannot be resolved are noted."""
    spec = reading.spec
    if spec is None:
        return None
    origins = spec_file.origins(reading)
    for key in BY_NEED:
        if getattr(spec.resources, key) is None:
            origins.pop(f"resources.{key}", None)
    locate = _Locator(reading, folder, environ)
    environment = _environment(spec.environment, locate)
    spec_dir = locate.found("", "the folder of the spec", str(folder))
    python = locate.found("environment.python", "the Python interpreter", python) or ""
    runs = locate.path("storage.runs", spec.storage.runs)
    if spec.storage.runs is None:
        runs = locate.found("storage.runs", "the runs folder", str(default_folder(environ)))
        origins["storage.runs"] = "$CURATOR_SLURM_RUNS" if environ.get("CURATOR_SLURM_RUNS") else "default"
    sections: dict[str, object] = {
        "environment": environment,
        "storage": StorageSpec(runs=runs, node_local=_node_local(spec, cluster, locate, origins)),
        "output": spec.output.model_copy(update={"path": locate.path("output.path", spec.output.path)}),
        "input": _input(spec.input, locate),
        "pipeline": spec.pipeline.model_copy(
            update={
                key: locate.path(f"pipeline.{key}", getattr(spec.pipeline, key)) for key in ("file", "checkpoint_path")
            }
        ),
        "resources": _resources(spec),
        "notify": _notify(spec.notify, locate),
        # Kept: a site may give GPUs to groups that ask for none.
        "cluster": spec.cluster.model_copy(
            update={
                "head_group": spec.head_group,
                "openmetrics": locate.path("cluster.openmetrics", spec.cluster.openmetrics),
            }
        ),
    }
    if cluster is Cluster.LOCAL:
        sections |= _one_node(spec, sections, origins)
    return Plan(
        version=__version__,
        cluster=cluster,
        spec=spec.model_copy(update=sections),
        spec_dir=spec_dir or "/",
        python=_interpreter(environment, python),
        slurm_bin=_slurm_bin(environ, locate) if cluster is Cluster.SLURM else None,
        origins=origins,
    )


def _node_local(spec: Spec, cluster: Cluster, locate: _Locator, origins: dict[str, str]) -> str | None:
    """The folder on the nodes; this machine has no job in whose folder it could be."""
    path = locate.path("storage.node_local", spec.storage.node_local, ON_NODES)
    if path is None or cluster is Cluster.SLURM or not ON_NODES.search(path):
        return path
    origins["storage.node_local"] = "local cluster: there is no job of Slurm's"
    return None


def _resources(spec: Spec) -> ResourcesSpec:
    """With the plain names of options, and the number of nodes of all groups."""
    resources = spec.resources
    groups = [_with_plain_options(group) for group in resources.groups]
    update: dict[str, Any] = {"groups": groups, **({"nodes": resources.node_count} if groups else {})}
    return _with_plain_options(resources).model_copy(update=update)


_Nodes = TypeVar("_Nodes", bound=NodesSpec)


def _with_plain_options(nodes: _Nodes) -> _Nodes:
    return nodes.model_copy(update={"sbatch": sbatch_options.normalise(nodes.sbatch)[0]})


def _slurm_bin(environ: Mapping[str, str], locate: _Locator) -> str | None:
    """The folder where sbatch is found here: with an empty environment a job may find no Slurm, or another one.

    A link or a site's wrapper may stand apart from Slurm's other commands; then the folder that it leads to is meant.
    """
    sbatch = shutil.which("sbatch", path=environ.get("PATH", ""))
    if sbatch is None:
        return None
    folders = [Path(sbatch).absolute().parent, Path(sbatch).resolve().parent]
    folder = next((each for each in folders if os.access(each / "srun", os.X_OK)), folders[0])
    return locate.found("", "the folder of Slurm's commands", str(folder))


def _environment(environment: EnvironmentSpec, locate: _Locator) -> EnvironmentSpec:
    paths = [locate.path(f"environment.stage_paths.{n}", path) for n, path in enumerate(environment.stage_paths)]
    environment = environment.model_copy(update={"stage_paths": [path for path in paths if path is not None]})
    if environment.container is not None:
        return environment  # paths of the image
    conda = environment.conda
    if conda is not None and ("/" in conda or conda.startswith(("~", "."))):
        conda = locate.path("environment.conda", conda)
    return environment.model_copy(
        update={
            "python": locate.path("environment.python", environment.python),
            "venv": locate.path("environment.venv", environment.venv),
            "conda": conda,
            "uv": locate.path("environment.uv", environment.uv),
        }
    )


def _input(files: InputSpec | None, locate: _Locator) -> InputSpec | None:
    if files is None:
        return None
    paths = [locate.path(f"input.paths.{index}", path) for index, path in enumerate(files.paths)]
    # A path that cannot be expanded is noted; the plan with the others serves further checks only.
    manifest = locate.path("input.manifest", files.manifest)
    return files.model_copy(update={"paths": [path for path in paths if path is not None], "manifest": manifest})


def _notify(notify: NotifySpec, locate: _Locator) -> NotifySpec:
    """With the path of the file that holds the address."""
    if notify.webhook is None or notify.webhook_variable is not None:
        return notify
    return notify.model_copy(update={"webhook": locate.path("notify.webhook", notify.webhook)})


def _one_node(spec: Spec, sections: dict[str, object], origins: dict[str, str]) -> dict[str, object]:
    """The local cluster is this machine, whatever number of nodes the spec asks Slurm for."""
    resources = sections["resources"]
    assert isinstance(resources, type(spec.resources))
    cluster = sections["cluster"]
    assert isinstance(cluster, ClusterSpec)
    cluster = cluster.model_copy(update={"min_nodes": None, "head": HeadUse.SHARED, "head_group": None})
    only = "local cluster: this machine is the only node"
    if spec.resources.node_count != 1:
        origins["resources.nodes"] = origins["cluster.min_nodes"] = only
    if spec.has_own_head:
        origins["cluster.head"] = only
    most = max(resources.groups, key=lambda group: group.gpu_count or group.gpus or 0, default=resources)
    gpus = most.gpus_per_node or (str(most.gpus) if resources.groups and most.gpus else None)
    update = {"nodes": 1, "groups": [], "gpus_per_node": gpus}
    found: dict[str, object] = {"resources": resources.model_copy(update=update), "cluster": cluster}
    pipeline = sections["pipeline"]
    assert isinstance(pipeline, type(spec.pipeline))
    if resources.groups and pipeline.stages:
        found["pipeline"] = pipeline.model_copy(update={"stages": [_in_no_group(stage) for stage in pipeline.stages]})
    return found


def _in_no_group(stage: StageSpec) -> StageSpec:
    """A stage as it is on the only node."""
    asked = stage.resources
    if asked is None or asked.group is None:
        return stage
    others = asked.model_fields_set - {"group"}
    return stage.model_copy(update={"resources": asked.model_copy(update={"group": None}) if others else None})


def _interpreter(environment: EnvironmentSpec, python: str) -> str | None:
    """The interpreter on the nodes; None leaves it to conda. With a container, that of what runs outside of it."""
    if environment.container is not None:
        return python
    if environment.conda is not None:
        return None
    if environment.venv is not None:
        return f"{environment.venv}/bin/python"
    if environment.uv is not None:
        return f"{environment.uv}/.venv/bin/python"
    return environment.python or python
