"""Which mechanism a run goes on by: what its spec wants, or what its site allows."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.restart_choice import in_words, restart_choice
from curator_slurm.launcher.plan.sbatch_lines import sbatch_lines
from curator_slurm.launcher.plan.site_rules import refused
from curator_slurm.launcher.spec.model import Spec


def plan(restart: dict[str, Any], habits: dict[str, Any], cluster: Cluster = Cluster.SLURM) -> Plan:
    spec = Spec.model_validate({"name": "demo", "pipeline": {"command": "true"}, "restart": restart})
    return Plan(version="1", cluster=cluster, spec=spec, spec_dir="/", python="/python", site={"slurm": habits})


@pytest.mark.parametrize(
    ("restart", "habits", "mechanism", "options"),
    [
        ({}, {}, "requeue", {"requeue"}),
        ({}, {"no_requeue": "never"}, "requeue", {"requeue"}),
        ({}, {"requeue": "never"}, "resubmit", {"no-requeue"}),
        ({}, {"requeue": "never", "no_requeue": "never"}, "resubmit", set()),
        ({"mechanism": "resubmit"}, {}, "resubmit", {"no-requeue"}),
        ({"mechanism": "resubmit"}, {"no_requeue": "never"}, "resubmit", set()),
        ({"mechanism": "chain"}, {}, "chain", {"no-requeue"}),
        ({"mechanism": "off"}, {}, "off", {"no-requeue"}),
        ({"mechanism": "off"}, {"no_requeue": "never"}, "off", set()),
        ({"on": []}, {}, "off", {"no-requeue"}),
        ({"on": "preempted"}, {}, "requeue", {"requeue"}),
        ({"on": [], "on_out_of_memory": {}}, {}, "requeue", {"requeue"}),
    ],
)
def test_the_mechanism_and_what_sbatch_is_told(
    restart: dict[str, Any], habits: dict[str, Any], mechanism: str, options: set[str]
) -> None:
    made = plan(restart, habits)
    assert restart_choice(made).mechanism == mechanism
    assert {name for name, _ in sbatch_lines(made)} & {"requeue", "no-requeue"} == options
    assert not refused(made, made.at_site())
    assert ("none" if mechanism == "off" else mechanism) in in_words(made)


def test_nothing_goes_on_by_itself_without_slurm() -> None:
    made = plan({"mechanism": "requeue"}, {}, Cluster.LOCAL)
    assert (restart_choice(made).mechanism, in_words(made)) == ("off", "")


def test_plan_says_which_it_is_and_why() -> None:
    words = in_words(plan({"on": ["preempted"], "on_out_of_memory": {}}, {"requeue": "never"}))
    assert words == (
        "resubmit: its job submits a new one when it ends (the site does not requeue jobs: slurm.requeue is never), "
        "after preempted, out_of_memory"
    )


def test_a_requeue_where_the_site_allows_none_is_refused_before_anything_is_submitted() -> None:
    made = plan({"mechanism": "requeue"}, {"requeue": "never"})
    (problem,) = refused(made, made.at_site())
    assert (problem.key, "`resubmit` goes on with a new job" in problem.message) == ("restart.mechanism", True)
