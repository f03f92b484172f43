"""`site show` and `schema --site`."""

import json

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from site_places import SPEC, Places

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.site import model
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec.keys import section_at, settings


@pytest.fixture
def show(places: Places, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(places.spec.parent)
    for name in ("CURATOR_SLURM_RUNS", "CURATOR_SLURM_SITE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner(env=places.environ).invoke(main, ["site", "show", *arguments])
        assert result.exit_code == expect, result.output
        return result

    return call


def test_every_value_has_its_file_and_line(places: Places, show) -> None:
    places.write(
        "system", "locked: [resources.time]\nresources:\n  time: 5\n  sbatch: {qos: low}\nslurm: {mem: never}\n"
    )
    places.write("project", "environment: {modules: [gcc]}\n")
    text = show().stdout
    assert yaml.safe_load(text) == {
        "resources": {"time": "5", "sbatch": {"qos": "low"}},
        "slurm": {"mem": "never"},
        "environment": {"modules": ["gcc"]},
    }
    lines = dict(line.split("  # ") for line in show("--origin").stdout.splitlines() if not line.startswith("#"))
    assert {key.strip(): where for key, where in lines.items()} == {
        "resources.time: '5'": f"{places.system}:3",
        "resources.sbatch.qos: low": f"{places.system}:4",
        "slurm.mem: never": f"{places.system}:5",
        "environment.modules: [gcc]": f"{places.project}:1",
    }
    assert f"# locked: resources.time ({places.system}:1)" in text
    found = json.loads(show("--json", "--all").stdout)
    origins = {each["key"]: each["origin"] for each in found["settings"]}
    assert (origins["slurm.mem"], origins["slurm.export"]) == (f"{places.system}:5", "default")
    assert found["locked"] == [{"key": "resources.time", "where": f"{places.system}:1", "contact": ""}]


def test_what_becomes_of_a_spec(places: Places, show) -> None:
    places.write("system", "resources: {account: abc, mem_per_node: 4G}\nslurm: {mem: never, export: never}\n")
    places.write("spec", f"{SPEC}resources: {{nodes: 3}}\n")
    result = show("--for", "spec.yaml")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"resources.account: abc # {places.system}:1" in lines
    assert "resources.nodes: 3 # spec.yaml:3" in lines
    assert {"#SBATCH --nodes=3", "#SBATCH --account=abc"} <= set(lines)
    assert not [line for line in lines if line.startswith(("#SBATCH --mem", "#SBATCH --export"))]
    assert "`resources.mem_per_node` is not passed to sbatch: jobs here get what the site gives" in result.stderr
    assert f"(slurm.mem in {places.system}:2)" in result.stderr


def test_a_spec_that_is_refused(places: Places, show) -> None:
    places.write("system", "locked: [resources.nodes]\n")
    places.write("spec", f"{SPEC}resources: {{nodes: 3}}\n")
    assert "is locked in" in show("--for", "spec.yaml", expect=4).stderr
    result = CliRunner(env=places.environ).invoke(main, ["validate", "spec.yaml", "--json"])
    assert result.exit_code == 4
    [problem] = json.loads(result.stdout)["problems"]
    assert (problem["key"], problem["where"]) == ("resources.nodes", "spec.yaml:3")


def test_what_nothing_acts_on_yet_is_told(places: Places, show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "WITHOUT_EFFECT", ("container",))
    places.write("system", "limits: {poll_s: 30, nodes: 4}\ncontainer: {runtimes: [pyxis]}\n")
    assert show().stderr.splitlines() == [
        f"Note: container.runtimes ({places.system}:2) has no effect in this version yet",
    ]
    for key in model.WITHOUT_EFFECT:
        parent, _, last = key.rpartition(".")
        assert last in settings(section_at(tuple(parent.split(".")) if parent else (), Site) or Site), key


def test_without_site_files_it_says_so(show) -> None:
    assert show().stdout.startswith("# no site file")


def test_the_schema_takes_what_the_reader_takes(places: Places) -> None:
    schema = json.loads(CliRunner().invoke(main, ["schema", "--site"]).stdout)
    example = {
        "extends": ["a"],
        "partitions": {"gpu": {"gpus": 4, "limits": {"time": "1:00"}}},
        "environment": {"modules+": ["gcc"]},
        "storage": {"node_local": {"path": "/tmp"}},
    }
    places.write("user", yaml.safe_dump({key: value for key, value in example.items() if key != "extends"}))
    places.load()
    jsonschema.validate(example, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"partitions": {"gpu": {"gpuss": 4}}}, schema)
