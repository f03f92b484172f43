"""The script of a run: a plan as text. Pure: the same plan gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from curator_slurm import slurm_templates
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.shell import quote, sbatch_quote

TEMPLATE = "job.sbatch.j2"
COLLECT_TEMPLATE = "collect.sbatch.j2"
COLLECT_MEMORY = "4G"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_KEPT_FOR_COLLECT = frozenset({"qos", "reservation", "wckey", "mail-type", "mail-user", "nice"})
"""Options of the user that a small job without GPUs shares; the others are about the nodes of the run."""
MAX_SCRIPT = 1_000_000
"""Bytes: a quarter of what Slurm takes by default (max_script_size), half of what Linux takes as environment."""


def render(plan: Plan) -> str:
    """The whole script, byte for byte what `submit` gives to sbatch (or to bash, on the local cluster).

    Raises:
        UsageError: environment.env and environment.setup make it longer than Slurm takes.
    """
    text = _render(TEMPLATE, plan, list(sbatch_lines(plan)) if plan.cluster is Cluster.SLURM else [])
    size = len(text.encode())
    if size > MAX_SCRIPT:
        raise UsageError(
            f"environment.env and environment.setup make a script of {size:,} bytes, more than the "
            f"{MAX_SCRIPT:,} that are possible; put long values into a file and read it in environment.setup"
        )
    return text


def render_collect(plan: Plan) -> str:
    """The script of the small job that publishes the outputs when the arrays of a run have ended."""
    return _render(COLLECT_TEMPLATE, plan, list(_collect_lines(plan)))


def _render(template: str, plan: Plan, options: Sequence[tuple[str, str | None]]) -> str:
    text: str = (
        _templates()
        .get_template(template)
        .render(
            plan=plan,
            environment=plan.spec.environment,
            slurm=plan.cluster is Cluster.SLURM,
            slurm_first=plan.slurm_bin is not None and plan.slurm_bin not in SYSTEM_PATH.split(":"),
            system_path=SYSTEM_PATH,
            options=options,
            no_kill=_outlives_nodes(plan),
            functions=_functions(plan),
        )
    )
    return text


def _collect_lines(plan: Plan) -> Iterator[tuple[str, str | None]]:
    """One CPU, no GPU, little memory, where and for whom the run is.

    Sites refuse ways to ask for memory. So it is asked for as the run does; where that is not at all, or by the GPU,
    which this job has none of, the site's default must do.
    """
    resources = plan.spec.resources
    yield "job-name", f"{plan.spec.name}-collect"
    yield "nodes", "1"
    yield "ntasks", "1"
    yield "cpus-per-task", "1"
    if resources.mem_per_node is not None:
        yield "mem", COLLECT_MEMORY
    elif "mem-per-cpu" in resources.sbatch:
        yield "mem-per-cpu", COLLECT_MEMORY
    for option, value in (
        ("time", resources.time),
        ("partition", resources.partition),
        ("account", resources.account),
    ):
        if value is not None:
            yield option, str(value)
    for option, value in resources.sbatch.items():
        if option in _KEPT_FOR_COLLECT:
            yield option, None if value is True else str(value)
    yield "output", "collect-%j.log"
    yield "open-mode", "append"
    yield "export", "NIL"


def sbatch_lines(plan: Plan) -> Iterator[tuple[str, str | None]]:
    """Every option of sbatch with its value, None for a bare flag: ours first, then the user's own."""
    resources = plan.spec.resources
    yield "job-name", plan.spec.name
    yield "nodes", str(resources.nodes)
    yield "ntasks-per-node", "1"
    for option, value in (
        ("gpus-per-node", resources.gpus_per_node),
        ("cpus-per-task", resources.cpus_per_node),
        ("mem", resources.mem_per_node),
        ("time", resources.time),
        ("partition", resources.partition),
        ("account", resources.account),
    ):
        if value is not None:
            yield option, str(value)
    for option, value in resources.sbatch.items():
        yield option, None if value is True else str(value)
    yield "output", "elements/slurm-%A_%a.log" if plan.array else "slurm-%j.log"
    yield "open-mode", "append"
    yield "export", "NIL"
    yield "no-requeue", None
    if _outlives_nodes(plan):
        yield "no-kill", None


def _outlives_nodes(plan: Plan) -> bool:
    return plan.cluster is Cluster.SLURM and plan.spec.min_nodes < plan.spec.resources.nodes


def _functions(plan: Plan) -> list[str]:
    """What the nodes run, in the order of the file: what starts it comes last."""
    functions = ["json_text", "node_fail", "run_agent", "prepare_software", "start_agent"]
    if plan.spec.environment.modules:
        functions.insert(0, "find_module_command")
    if plan.python is None:
        functions.insert(0, "activate_conda")
    return functions


@cache
def _templates() -> Environment:
    folder = Path(str(slurm_templates.__file__)).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["quote"] = _quote
    environment.filters["sbatch"] = sbatch_quote
    environment.filters["summary"] = _summary
    return environment


def _summary(text: str) -> str:
    """A command in a message: one line, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 200 else line[:197] + "..."


def _quote(value: str | list[str]) -> str:
    """One bash word; several for a list."""
    return " ".join(map(quote, value)) if isinstance(value, list) else quote(value)
