"""A plan on a site: the options of sbatch in every habit, what is refused, and the script without --export."""

import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from script_lab import ScriptLab

from curator_slurm.launcher.plan import site_rules
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.sbatch_lines import collect_lines, sbatch_lines
from curator_slurm.launcher.plan.script import render, render_collect

RESOURCES = {"nodes": 2, "gpus_per_node": 4, "mem_per_node": "100G", "time": "1:00:00", "account": "a"}


@pytest.fixture
def lab(tmp_path):
    return ScriptLab(tmp_path)


def at(lab: ScriptLab, slurm: Mapping[str, Any] = {}, resources: Mapping[str, Any] = {}, **site: Any) -> Plan:
    """A plan that outlives nodes, at a site with these habits."""
    plan = lab.plan(Cluster.SLURM, resources={**RESOURCES, **resources}, cluster={"min_nodes": 1})
    return plan.model_copy(update={"site": {"slurm": dict(slurm), **site}})


PLAIN = {
    "job-name": "demo",
    "nodes": "2",
    "ntasks-per-node": "1",
    "gpus-per-node": "4",
    "mem": "100G",
    "time": "1:00:00",
    "account": "a",
    "output": "slurm-%j.log",
    "open-mode": "append",
    "export": "NIL",
    "requeue": None,
    "no-kill": None,
    "signal": "B:USR2@120",
}
PLAIN_COLLECT = {
    "job-name": "demo-collect",
    "nodes": "1",
    "ntasks": "1",
    "cpus-per-task": "1",
    "mem": "4G",
    "time": "1:00:00",
    "account": "a",
    "output": "collect-%j.log",
    "open-mode": "append",
    "export": "NIL",
}
GONE = "(not there)"


@pytest.mark.parametrize(
    ("habits", "run", "collect"),
    [
        ({}, {}, {}),
        ({"export": "none"}, {"export": "NONE"}, {"export": "NONE"}),
        ({"export": "never"}, {"export": GONE}, {"export": GONE}),
        ({"mem": "never"}, {"mem": GONE}, {"mem": GONE}),
        ({"mem": "per_gpu"}, {"mem": GONE}, {"mem": GONE}),
        ({"mem": "whole_node"}, {"mem": "0"}, {"mem": "0"}),
        ({"mem": "whole_node", "whole_node_mem": "450G"}, {"mem": "450G"}, {"mem": "450G"}),
        ({"gpus": "gres"}, {"gpus-per-node": GONE, "gres": "gpu:4"}, {}),
        ({"gpus": "never"}, {"gpus-per-node": GONE}, {}),
        ({"exclusive": "always"}, {"exclusive": None}, {"exclusive": None}),
        ({"no_kill": "never"}, {"no-kill": GONE}, {}),
        ({"signal": "never"}, {"signal": GONE}, {}),
        ({"no_requeue": "never"}, {}, {}),
        ({"requeue": "never"}, {"requeue": GONE, "no-requeue": None}, {}),
        ({"open_mode": "never"}, {"open-mode": GONE}, {"open-mode": GONE}),
    ],
    ids=str,
)
def test_every_habit_for_the_run_and_for_its_collect_job(lab, habits, run, collect):
    plan = at(lab, habits)
    for lines, plain, changed in (
        (sbatch_lines(plan), PLAIN, run),
        (collect_lines(plan), PLAIN_COLLECT, collect),
    ):
        assert dict(lines) == {key: value for key, value in {**plain, **changed}.items() if value is not GONE}


def test_defaults_of_the_habits_change_nothing(lab):
    plan = at(lab)
    assert render(plan) == render(plan.model_copy(update={"site": None}))
    assert render_collect(plan) == render_collect(plan.model_copy(update={"site": None}))


def test_the_step_has_its_options_as_ever(lab):
    text = render(at(lab))
    assert "\n    --export=ALL --kill-on-bad-exit=0 --wait=0 --cpu-bind=none --no-kill --input=none \\\n" in text
    assert "\n    --kill-on-bad-exit=0 --wait=0 " in render(at(lab, {"export": "never"}))


def test_gpus_by_gres_go_with_the_users_other_resources(lab):
    plan = at(lab, {"gpus": "gres"}, {"gpus_per_node": "h100:4", "sbatch": {"gres": "nvme:100"}})
    assert dict(sbatch_lines(plan))["gres"] == "gpu:h100:4,nvme:100"


def test_the_collect_job_goes_where_the_site_wants_it(lab):
    plan = at(
        lab,
        resources={"partition": "gpu", "sbatch": {"qos": "gpu"}},
        collect={"partition": "cpu", "qos": "small", "account": "a_cpu", "time": "10", "memory": "2G"},
    )
    found = list(collect_lines(plan))
    assert len(dict(found)) == len(found)
    wanted = {"partition": "cpu", "qos": "small", "account": "a_cpu", "time": "10", "mem": "2G"}
    assert wanted.items() <= dict(found).items()


@pytest.mark.parametrize("export", ["nil", "none", "never"])
@pytest.mark.parametrize("kind", [render, render_collect])
def test_scripts_are_clean_in_every_habit(lab, tmp_path, export, kind):
    script = tmp_path / "job.sbatch"
    script.write_text(kind(at(lab, {"export": export})))
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "\n\n\n" not in script.read_text()
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
        assert done.stdout == ""


HOSTILE = {
    "BASH_ENV": "/dev/null",
    "SHELLOPTS": "braceexpand:errexit:noglob:noclobber",
    "CDPATH": "/usr",
    "POSIXLY_CORRECT": "1",
    "PYTHONPATH": "/x",
    "LD_LIBRARY_PATH": "/nowhere",
    "RAY_ADDRESS": "y",
    "TMPDIR": "/nowhere/tmp",
    "BASH_FUNC_cd%%": "() { echo caught; }",
    "BASH_FUNC_mkdir%%": "() { false; }",
}


@pytest.mark.parametrize("export", ["nil", "none", "never"])
def test_the_environment_is_clean_whether_slurm_made_it_so_or_not(lab, export):
    plan = at(lab, {"export": export})
    outcome = lab.run(plan.model_copy(update={"slurm_bin": str(lab.bin)}), **(HOSTILE if export == "never" else {}))
    assert outcome.returncode == 0, outcome.stderr
    assert not {*HOSTILE, "TMPDIR", "caught"} & set(outcome.environment)
    assert outcome.cwd == str(lab.run_dir)
    options = (lab.bin / "srun.argv").read_text().splitlines()
    assert ("--export=ALL" in options) == (export != "never")


def test_without_export_no_program_of_the_submitters_path_runs_in_the_script(lab, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for name in ("stat", "sed", "mkdir", "ln"):
        (own / name).write_text("#!/bin/bash\nexit 1\n")
        (own / name).chmod(0o755)
    plan = at(lab, {"export": "never"}).model_copy(update={"slurm_bin": str(lab.bin)})
    assert lab.run(plan, PATH=f"{own}:/usr/bin:/bin").returncode == 0


@pytest.mark.parametrize(
    ("habits", "option", "value"),
    [
        ({"mem": "never"}, "mem-per-cpu", "4G"),
        ({"mem": "whole_node"}, "mem-per-gpu", "4G"),
        ({"gres": "never"}, "gres", "nvme:1"),
        ({"nodelist": "never"}, "nodelist", "n1"),
        ({"nodelist": "never"}, "exclude", "n1"),
        ({"exclusive": "never"}, "exclusive", True),
    ],
    ids=str,
)
def test_an_option_that_the_site_does_not_take_is_refused_by_name(lab, habits, option, value):
    memory = {"mem_per_node": None} if option.startswith("mem") else {}
    plan = at(lab, habits, {"sbatch": {option: value}, **memory}, site={"contact": "help@lab"})
    [habit] = habits
    plan.origins.update({f"slurm.{habit}": "site.yaml:7", "resources.sbatch": "spec.yaml:4"})
    [problem] = site_rules.refused(plan, plan.at_site())
    assert problem.key == f"resources.sbatch.{option}"
    assert str(problem).startswith(f"spec.yaml:4: this site takes no --{option}")
    assert f"(slurm.{habit} in site.yaml:7); questions: help@lab" in problem.message
    assert not site_rules.refused(at(lab, {}, {"sbatch": {option: value}, **memory}), at(lab).at_site())


@pytest.mark.parametrize(
    ("limits", "resources", "words"),
    [
        ({"nodes": 1}, {}, "2 nodes are more than 1"),
        ({"time": "30"}, {}, "1:00:00 is longer than 30"),
        ({"time": "1-00:00:00"}, {"time": "25:00:00"}, "25:00:00 is longer than 1-00:00:00"),
        ({"time_by_nodes": [{"nodes": 1, "time": "9:00:00"}, {"nodes": 4, "time": "50"}]}, {}, "with up to 4 nodes"),
        ({"node_hours": 1.5}, {}, "2 nodes for 1:00:00 are 2 node-hours of 1.5"),
        ({"nodes": 2, "time": "60", "node_hours": 2}, {}, ""),
        ({"min_nodes": 3}, {}, "2 nodes are less than 3, which a job must have here at least"),
        ({"gpus": 7}, {}, "8 GPUs, 4 on each node, are more than 7"),
        ({"gpus": 8, "min_nodes": 2}, {}, ""),
        ({"gpus": 0}, {"gpus_per_node": None}, ""),
        ({"time_by_nodes": [{"nodes": 1, "time": "10"}]}, {}, ""),
        ({"time": "30"}, {"time": None}, ""),
    ],
)
def test_limits_of_one_job(lab, limits, resources, words):
    plan = at(lab, {}, resources, limits=limits)
    found = site_rules.refused(plan, plan.at_site())
    assert [words in problem.message for problem in found] == ([True] if words else [])


def test_what_the_site_requires_is_asked_for_with_the_way_to_set_it(lab):
    plan = at(lab, {"account_required": True, "time_required": True}, {"account": None, "time": None})
    found = dict(site_rules.missing(plan, plan.at_site()))
    assert set(found) == {"resources.account", "resources.time"}
    assert "slurm.account_required" in found["resources.account"]
    assert "--account=NAME" in found["resources.account"]
    assert not list(site_rules.missing(at(lab, {"account_required": True}), plan.at_site()))


def test_the_limit_of_running_shards_holds_for_runs_that_set_none(lab):
    shards = {"input": {"paths": ["/x"]}, "shards": {"count": 9}}
    plan = lab.plan(Cluster.SLURM, **shards).model_copy(update={"site": {"limits": {"running_shards": 3}}})
    assert site_rules.within_limits(plan, plan.at_site()).spec.shards.max_running == 3
    shards["shards"] = {"count": 9, "max_running": 4}
    plan = lab.plan(Cluster.SLURM, **shards).model_copy(update={"site": {"limits": {"running_shards": 3}}})
    assert "4 is more than the 3" in site_rules.refused(plan, plan.at_site())[0].message


def test_more_than_may_run_does_not_run_whatever_is_asked_for(lab):
    def most(shards, limits):
        plan = lab.plan(Cluster.SLURM, input={"paths": ["/x"]}, shards={"count": 9, **shards})
        plan = plan.model_copy(update={"site": {"limits": limits}})
        assert not site_rules.refused(plan, plan.at_site())
        return site_rules.within_limits(plan, plan.at_site()).spec.shards.max_running

    assert most({}, {"running_jobs": 4}) == 4
    assert most({"max_running": 6}, {"running_jobs": 4}) == 4
    assert most({"max_running": 2}, {"running_jobs": 4}) == 2
    assert most({"max_running": 2}, {"running_jobs": 4, "running_shards": 3}) == 2
