"""`site check`: what contradicts itself, what is not there, what the cluster does not have; each at its line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from survey_answers import answers

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.site import catalogue
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.survey.check_cluster import check_cluster
from curator_slurm.launcher.survey.check_places import check_places
from curator_slurm.launcher.survey.check_site import check_site, left_to_decide
from curator_slurm.launcher.survey.findings import Severity, SiteFinding


def keys(found: Iterable[SiteFinding], severity: Severity | None = None) -> set[str]:
    return {each.key for each in found if severity in (None, each.severity)}


GOOD: dict[str, Any] = {
    "site": {"name": "testcluster", "contact": "hpc@example.org", "cluster_names": ["TestCluster"]},
    "partitions": {
        "main": {"cpus": 4, "memory": "3000M", "limits": {"time": "1-00:00:00"}},
        "gpu": {"cpus": 4, "usable_cpus": 3, "memory": "5500M", "gpus": 2, "gpu_type": "a100", "constraint": "nvme"},
        "whole": {"sharing": "whole"},
    },
    "gpu_types": {"a100": {"gres_type": "a100"}},
    "limits": {"submitted_jobs": 100},
}


def changed(**sections: Any) -> Site:
    """The good file with sections replaced; `partitions` are added to those that it has."""
    values = {**GOOD, **sections}
    if "partitions" in sections:
        values["partitions"] = {**GOOD["partitions"], **sections["partitions"]}
    return Site.model_validate(values)


def test_a_good_file_has_nothing_but_a_note() -> None:
    site = changed()
    assert list(check_site(site)) == []
    [found] = check_cluster(site, answers())
    assert (found.severity, found.message) == (
        Severity.NOTE,
        "Slurm has partitions that are not described: low, closed",
    )


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "site.contact": {"site": {}},
    "partitions.x.usable_cpus": {"partitions": {"x": {"cpus": 4, "usable_cpus": 5}}},
    "partitions.x.min_gpus": {"partitions": {"x": {"min_gpus": 1}}},
    "partitions.x.gpu_type": {"partitions": {"x": {"gpu_type": "a100"}}},
    "partitions.x.limits.submitted_jobs": {"partitions": {"x": {"limits": {"submitted_jobs": 101}}}},
    "partitions.x.limits.time": {
        "limits": {"time": "1:00:00"},
        "partitions": {"main": {"limits": {"time": "30"}}, "x": {"limits": {"time": "2:00:00"}}},
    },
    "partitions.x.default_time": {"partitions": {"x": {"default_time": "61", "limits": {"time": "1:00:00"}}}},
    "partitions.x.limits.min_nodes": {"partitions": {"x": {"limits": {"nodes": 2, "min_nodes": 3}}}},
    "limits.time_by_nodes": {"limits": {"time_by_nodes": [{"nodes": 4, "time": 60}, {"nodes": 2, "time": 90}]}},
    "resources.partition": {"resources": {"partition": "man"}},
    "collect.partition": {"collect": {"partition": "cpu"}},
    "partitions": {"partitions": {name: {"choose": False} for name in ("main", "gpu", "whole")}, "gpu_types": {}},
    "resources.nodes": {"limits": {"nodes": 2}, "resources": {"nodes": 3}},
    "resources.time": {"limits": {"time": "1-00:00:00"}, "resources": {"time": "2-00:00:00"}},
    "slurm.gpus": {"slurm": {"gpus": "never"}, "partitions": {"gpu": {"gpus": 1}, "whole": {}}, "gpu_types": {}},
    "network.internet": {"network": {"internet": "proxy"}},
    "network.proxy": {"network": {"proxy": {"http": "http://proxy:3128"}}},
    "gpu_types.b200": {"gpu_types": {"a100": {"gres_type": "a100"}, "b200": {}}},
}


@pytest.mark.parametrize("key", CONTRADICTIONS)
def test_contradictions(key: str) -> None:
    assert keys(check_site(changed(**CONTRADICTIONS[key]))) == {key}


DIFFERENCES: dict[str, dict[str, Any]] = {
    "site.cluster_names": {"site": {"contact": "x", "cluster_names": ["other"]}},
    "partitions.man": {"partitions": {"man": {}}},
    "partitions.x.slurm_name": {"partitions": {"x": {"slurm_name": "man"}}},
    "partitions.closed": {"partitions": {"closed": {}}},
    "partitions.whole.sharing": {"partitions": {"whole": {}}},
    "partitions.main.limits.time": {"partitions": {"main": {"limits": {"time": "2-00:00:00"}}}},
    "partitions.gpu.limits.time": {"partitions": {"gpu": {"limits": {"time": "12:00:00"}}}, "gpu_types": {}},
    "partitions.gpu.default_time": {"partitions": {"gpu": {"default_time": "7:00:00"}}, "gpu_types": {}},
    "partitions.gpu.limits.nodes": {"partitions": {"gpu": {"limits": {"nodes": 3}}}},
    "partitions.gpu.limits.submitted_jobs": {"partitions": {"gpu": {"limits": {"submitted_jobs": 41}}}},
    "partitions.gpu.node_count": {"partitions": {"gpu": {"node_count": 3}}},
    "partitions.gpu.constraint": {"partitions": {"gpu": {"constraint": "nvme&hbm90g"}}},
    "gpu_types.a100.gres_type": {"gpu_types": {"a100": {"gres_type": "a10"}}},
    "partitions.gpu.gpus": {"partitions": {"gpu": {"gpus": 3, "gpu_type": "a100"}}},
    "partitions.main.cpus": {"partitions": {"main": {"cpus": 5}}},
    "partitions.gpu.usable_cpus": {"partitions": {"gpu": {"cpus": 4, "gpus": 2, "gpu_type": "a100"}}},
    "partitions.gpu.memory": {"partitions": {"gpu": {"memory": "6000M", "gpus": 2, "gpu_type": "a100"}}},
    "partitions.main.qos": {"partitions": {"main": {"qos": "gpus"}}},
    "resources.sbatch.qos": {"resources": {"sbatch": {"qos": "nope"}}},
    "limits.submitted_jobs": {"limits": {"submitted_jobs": 211}},
}


@pytest.mark.parametrize("key", DIFFERENCES)
def test_what_the_cluster_has_otherwise(key: str) -> None:
    assert keys(check_cluster(changed(**DIFFERENCES[key]), answers())) - {"partitions"} == {key}


def test_features_may_begin_with_digits() -> None:
    found = answers()
    groups = [replace(group, features=("80gb", "2080ti", "rack1")) for group in found.groups]
    site = changed(partitions={"gpu": {"constraint": "80gb&[2080ti|rack1*2]|40gb"}})
    messages = [
        each.message for each in check_cluster(site, replace(found, groups=groups)) if "feature" in each.message
    ]
    assert messages == ["no node of gpu has the feature 40gb"]


def test_a_cluster_that_gives_no_memory_and_knows_no_gpus() -> None:
    found = answers()
    old = replace(found.configuration, select_type="select/cons_res", select_parameters=("CR_CORE",))
    other = replace(found, configuration=old, default_account="")
    assert keys(check_cluster(changed(), other), Severity.WARNING) == {"slurm.mem", "slurm.account_required"}
    assert keys(check_cluster(changed(), other), Severity.ERROR) == {"slurm.gpus"}
    right = {"mem": "never", "gpus": "gres", "account_required": True}
    assert keys(check_cluster(changed(slurm=right), other)) == {"partitions"}
    linear = replace(found, configuration=replace(old, select_type="select/linear"))
    assert "partitions.main.sharing" in keys(check_cluster(changed(slurm=right), linear))


def test_places(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "_node.j2").write_text(
        '{% extends "curator-slurm/_node.j2" %}\n{% block setup %}\ntrue\n{% endblock %}\n'
    )
    (folder / "job.sbatch.j2").write_text("{% extends 'x' %}\n{% block a %}\n")
    for each in (folder, *folder.iterdir()):
        each.chmod(0o755)
    (tmp_path / "runs").mkdir()
    environ = {"USER": "alice", "HOME": str(tmp_path)}
    site = changed(
        environment={"venv": "/nowhere/venv"},
        storage={"runs": f"{tmp_path}/runs/${{USER}}/x"},
        container={"binds": ["/nowhere:/data", str(tmp_path)]},
        templates={"folder": str(folder)},
    )
    found = list(check_places(site, environ))
    assert [each.key for each in found] == [
        *("environment.venv", "container.binds.0", "templates.folder"),
    ]
    assert "job.sbatch.j2:2: Unexpected end of template" in found[2].message
    (folder / "job.sbatch.j2").unlink()
    found = list(check_places(site, environ))
    assert "_node.j2:2: block `setup` of _node.j2 has no copy of what it replaces" in found[2].message
    (folder / "_node.j2").unlink()
    assert [each.severity for each in check_places(site, environ)][2] is Severity.WARNING
    (tmp_path / "file").touch()
    assert keys(check_places(changed(storage={"runs": str(tmp_path / "file" / "x")}), environ)) == {"storage.runs"}
    assert keys(check_places(changed(storage={"runs": "${SCRATCH}/x"}), environ)) == set()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("~no-such-user/x", "is in the home folder of an unknown user"),
        ("/tmp/" + "x" * 300, "cannot be looked at (a name is too long for the storage"),
    ],
)
def test_places_that_nobody_can_look_at(path: str, words: str) -> None:
    site = changed(environment={"venv": path}, storage={"runs": path}, container={"binds": [f"{path}:/x"]})
    found = list(check_places(site, os.environ))
    assert [each.key for each in found] == ["environment.venv", "storage.runs", "container.binds.0"]
    assert all(words in each.message for each in found), found


@pytest.mark.ordinary_user
@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_places_that_this_user_may_not_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    found = list(check_places(changed(environment={"python": f"{closed}/python"}), os.environ))
    assert "cannot be looked at (permission denied" in found[0].message


def test_what_is_left_to_decide() -> None:
    text = "a: 1\n  # DECIDE: who\nb: 2  # DECIDE: what\nc: DECIDE\n"
    found = [(each.where, each.message) for each in left_to_decide(text, "f")]
    assert found == [("f:2", "left to decide: who"), ("f:3", "left to decide: what")]


# The command


def check(tmp_path: Path, text: str, *options: str, expect: int = 0) -> Result:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    path.chmod(0o644)
    result = CliRunner().invoke(main, ["site", "check", str(path), *options])
    assert result.exit_code == expect, result.output
    return result


def test_findings_have_their_lines(tmp_path: Path) -> None:
    text = "site: {contact: x}\npartitions:\n  a:\n    cpus: 4\n    usable_cpus: 8\n"
    result = check(tmp_path, text, "--offline", "--json", expect=2)
    [found] = json.loads(result.stdout)["findings"]
    where, key = f"{tmp_path}/site.yaml:5", "partitions.a.usable_cpus"
    assert (found["where"], found["key"], found["severity"]) == (where, key, "error")
    assert found["next_step"]
    line, last = check(tmp_path, text, "--offline", expect=2).stdout.splitlines()
    assert line.startswith(f"{where}: error: `{key}`: ")
    assert last == f"{tmp_path}/site.yaml: 1 error, 0 warnings"


def test_a_file_that_cannot_be_read_as_one(tmp_path: Path) -> None:
    result = check(tmp_path, "site: {contact: x}\nslurm: {memm: use}\n", "--json", expect=2)
    [found] = json.loads(result.stdout)["findings"]
    assert (found["key"], found["where"]) == ("slurm.memm", f"{tmp_path}/site.yaml:2")
    path = tmp_path / "site.yaml"
    path.chmod(0o666)
    result = CliRunner().invoke(main, ["site", "check", str(path)])
    assert (result.exit_code, "chmod go-w" in result.stdout) == (2, True)


def test_warnings_are_errors_where_that_is_wanted(tmp_path: Path) -> None:
    assert "1 warning" in check(tmp_path, "site: {name: x}\n", "--offline").stdout
    check(tmp_path, "site: {name: x}\n", "--offline", "--strict", expect=2)


def test_a_lock_that_is_broken(tmp_path: Path) -> None:
    below = tmp_path / "below.yaml"
    below.write_text("locked: [resources.time]\nresources: {time: 5}\nsite: {contact: x}\n")
    below.chmod(0o644)
    result = check(tmp_path, "extends: [./below.yaml]\nresources: {time: 6}\n", "--json", expect=4)
    assert json.loads(result.stdout)["findings"][0]["where"] == f"{tmp_path}/site.yaml:2"


def test_without_file_the_layers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    none = CliRunner().invoke(main, ["site", "check", "--offline"])
    assert (none.exit_code, "site init writes one" in none.stderr) == (2, True)
    (tmp_path / ".curator-slurm.yaml").write_text("slurm: {mem: never}\n")
    (tmp_path / ".curator-slurm.yaml").chmod(0o644)
    found = json.loads(CliRunner().invoke(main, ["site", "check", "--offline", "--json"]).stdout)
    assert (found["valid"], found["files"]) == (True, [str(tmp_path / ".curator-slurm.yaml")])


def test_slurm_is_asked_where_it_is(tmp_path: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "site: {contact: x}\npartitions: {mian: {}}\n"
    assert "did you mean main?" in check(tmp_path, text, expect=2).stdout
    check(tmp_path, text, "--offline")
    fake_slurm.remove_command("scontrol")
    assert "could not be compared with the cluster" in check(tmp_path, text, expect=5).stdout
    monkeypatch.setenv("PATH", os.devnull)
    assert "was not compared with the cluster" in check(tmp_path, text).stdout


@pytest.mark.parametrize("name", catalogue.names())
def test_entries_of_the_catalogue_have_no_error(name: str) -> None:
    result = CliRunner().invoke(main, ["site", "check", str(catalogue.FOLDER / f"{name}.yaml"), "--offline"])
    assert result.exit_code == 0, result.output
