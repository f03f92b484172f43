"""The script of a run: a plan as text. The same plan gives the same bytes.

Where a site has templates over ours, bash is asked whether it can read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import BaseLoader, Environment, FileSystemLoader, StrictUndefined

from curator_slurm.launcher.environments.container import NODE_VARIABLE
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.plan.model import Cluster, Plan, SiteTemplate
from curator_slurm.launcher.plan.restart_choice import restart_choice
from curator_slurm.launcher.plan.sbatch_lines import Option, collect_lines, outlives_nodes, sbatch_lines
from curator_slurm.launcher.plan.staging import StagingChoice, staging_choice
from curator_slurm.launcher.plan.template_blocks import FOLDER
from curator_slurm.launcher.runs.restart_request import ENDS_JOB, GOES_ON
from curator_slurm.launcher.shell import quote, sbatch_quote
from curator_slurm.launcher.site.habits import ExportUse
from curator_slurm.launcher.spec.restart_section import Mechanism
from curator_slurm.launcher.spec.ulimits import for_bash

TEMPLATE = "job.sbatch.j2"
COLLECT_TEMPLATE = "collect.sbatch.j2"
AGENT = "curator_slurm.launcher.agent.node_agent"
"""The module that runs on every node."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
MAX_SCRIPT = 1_000_000
"""Bytes: a quarter of what Slurm takes by default (max_script_size), half of what Linux takes as environment."""


_OF_RESTARTS = (
    "was_cancelled",
    "job_of_comment",
    "ask_slurm",
    "starts_without",
    "keep_out",
    "resubmit",
    "queued_again",
    "requeue",
    "go_on",
)
"""Functions of the batch script that the nodes have, too."""


def render(plan: Plan, agent: str = AGENT) -> str:
    """The whole script, byte for byte what `submit` gives to sbatch (or to bash, on the local cluster).

    `doctor` has another module in place of the agent, and with it the same software on the same nodes.

    Raises:
        UsageError: environment.env and environment.setup make it longer than Slurm takes.
    """
    text = _render(TEMPLATE, plan, list(sbatch_lines(plan)) if plan.cluster is Cluster.SLURM else [], agent)
    size = len(text.encode())
    if size > MAX_SCRIPT:
        raise UsageError(
            f"environment.env and environment.setup make a script of {size:,} bytes, more than the "
            f"{MAX_SCRIPT:,} that are possible; put long values into a file and read it in environment.setup"
        )
    return text


def render_collect(plan: Plan) -> str:
    """The script of the small job that publishes the outputs when the arrays of a run have ended."""
    return _render(COLLECT_TEMPLATE, plan, list(collect_lines(plan)))


def _render(template: str, plan: Plan, options: Sequence[Option], agent: str = AGENT) -> str:
    if not plan.templates:
        return _text_of(_ours(), template, plan, options, agent)
    from curator_slurm.launcher.plan import template_overrides

    def rendered(templates: Sequence[SiteTemplate]) -> str:
        return _text_of(_environment(template_overrides.loader(templates)), template, plan, options, agent)

    return template_overrides.checked(plan.templates, rendered)


def _text_of(environment: Environment, template: str, plan: Plan, options: Sequence[Option], agent: str) -> str:
    text: str = environment.get_template(template).render(
        plan=plan,
        environment=plan.spec.environment,
        slurm=plan.cluster is Cluster.SLURM,
        slurm_first=plan.slurm_bin is not None and plan.slurm_bin not in SYSTEM_PATH.split(":"),
        system_path=SYSTEM_PATH,
        options=options,
        no_kill=outlives_nodes(plan),
        components=[str(number) for number in range(len(plan.spec.resources.groups))],
        restarts=restart_choice(plan).mechanism is not Mechanism.OFF,
        goes_on=str(GOES_ON),
        ends_job=str(ENDS_JOB),
        exports=plan.habits.export is not ExportUse.NEVER,
        functions=_functions(plan, agent),
        ulimits=for_bash(plan.spec.environment.ulimits),
        tries_software=_tries_software(plan, agent),
        staging=_staging(plan, agent),
        agent=agent,
        on_srun=plan.cluster is Cluster.SLURM and any(start.on_srun for start in plan.containers),
    )
    return text


def _tries_software(plan: Plan, agent: str) -> bool:
    """Whether the first node sets up the software alone before the others start; `doctor` wants to hear of each."""
    software = plan.spec.environment
    if _staging(plan, agent) is not None:
        return True
    asked = software.modules or software.ulimits or software.setup or software.conda or software.uv
    several = plan.spec.resources.node_count != 1 or bool(plan.components)
    return plan.cluster is Cluster.SLURM and agent == AGENT and bool(asked) and (several or software.uv is not None)


def _staging(plan: Plan, agent: str) -> StagingChoice | None:
    """How nodes get copies; `doctor` looks at shared storage itself."""
    return staging_choice(plan) if agent == AGENT else None


_OF_CONTAINERS = [
    "prepare_inside",
    "find_python",
    "start_inside",
    "carried_variables",
    "run_inside",
    "choose_runtime",
    "make_scratch",
    "sweep_scratch",
    "empty_scratch",
    "remove_scratch",
    "tell_container",
    "enter_container",
]


def _functions(plan: Plan, agent: str) -> list[str]:
    """What the nodes run, in the order of the file: what starts it comes last."""
    functions = ["json_text", "node_fail", "run_agent", "prepare_software", "start_agent"]
    if restart_choice(plan).mechanism is not Mechanism.OFF:
        functions[:0] = [*_OF_RESTARTS]
    if plan.cluster is Cluster.SLURM:
        functions[:0] = ["without_job", "id_of_job", "end_job", "after_head"]
    if _staging(plan, agent) is not None:
        functions[:0] = ["own_place", "copy_software", "stage_software", "end_staging"]
    software = plan.spec.environment
    if software.modules:
        functions.insert(0, "find_module_command")
    if software.conda is not None:
        functions.insert(0, "activate_conda")
    if software.modules or software.conda is not None:
        functions.insert(0, "attempt")
    if plan.containers:
        functions[-1:-1] = _OF_CONTAINERS
    return functions


@cache
def _ours() -> Environment:
    return _environment(FileSystemLoader(FOLDER))


def _environment(loader: BaseLoader) -> Environment:
    environment = Environment(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["quote"] = _quote
    environment.filters["on_node"] = _on_node
    environment.filters["sbatch"] = sbatch_quote
    environment.filters["summary"] = _summary
    return environment


def _summary(text: str) -> str:
    """A command in a message: one line, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 200 else line[:197] + "..."


def _quote(value: str | list[str]) -> str:
    """One bash word; several for a list. What is not there is an error of Jinja's, which names it."""
    return " ".join(map(quote, value)) if isinstance(value, list) else quote(str(value))


def _on_node(words: list[str] | str) -> str:
    """Words of bash in which variables of Slurm's stand for what they are on the node."""
    return " ".join(map(_word_on_node, [words] if isinstance(words, str) else words))


def _word_on_node(word: str) -> str:
    parts = NODE_VARIABLE.split(word)
    found = [quote(part) if index % 2 == 0 else f'"${{{part}:-}}"' for index, part in enumerate(parts)]
    return "".join(each for part, each in zip(parts, found, strict=True) if part) or quote("")
