"""Without a site file nothing is loaded for it, and a plan says nothing of it."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from site_places import SPEC, Places

CODE = """
import json, sys
from curator_slurm.launcher.cli import main
try: main(sys.argv[1:])
except SystemExit as end: assert not end.code, end.code
print(json.dumps(sorted(name for name in sys.modules if "curator_slurm.launcher.site" in name)), file=sys.stderr)
"""
MODELS = {"model", "cluster_facts", "limits", "resolution", "site_file"}
"""What is there for site files alone."""


@pytest.mark.parametrize("with_file", [False, True])
def test_models_are_loaded_where_there_is_a_file(places: Places, with_file: bool) -> None:
    if with_file:
        places.write("project", "resources: {time: 5}\n")
    command = [sys.executable, "-c", CODE, "render", str(places.spec), "--cluster", "slurm"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **places.environ})
    loaded = json.loads(done.stderr.splitlines()[-1])
    modules = {name.rpartition(".")[2] for name in loaded if name != "curator_slurm.launcher.site"}
    assert bool(MODELS & modules) == with_file


def test_a_plan_has_the_keys_that_it_had(places: Places) -> None:
    plan = yaml.safe_load(places.plan("resources.sbatch.qos=low", "environment.env.A=b").to_yaml())
    assert list(plan) == ["schema_version", "version", "cluster", "spec", "spec_dir", "python", "slurm_bin", "origins"]
    assert not [key for key in plan["origins"] if key.startswith(("resources.sbatch.", "environment.env.", "site."))]
    places.write("spec", f"{SPEC}environment: {{modules+: [a]}}\n")
    assert places.plan().spec.environment.modules == ["a"]
