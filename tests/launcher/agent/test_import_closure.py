"""What runs in a job imports nothing but what any image with Ray has: others are hidden from it here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest

IN_EVERY_IMAGE = ("ray[default]", "pyyaml", "pydantic", "psutil")
"""What an image must have (docs/how-to/containers.md); with these come what they need themselves."""
OF_RAY_DATA = ("ray[data]",)
OF_XENNA = ("cosmos-xenna", "tqdm")

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?[^;]*(?:;(.*))?$")

CHILD = """
import importlib, json, sys

allowed, modules = json.loads(sys.argv[1])

class Refusing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_sysconfig"):
            raise ModuleNotFoundError(f"No module named {name!r} in the image", name=name)

sys.meta_path.insert(0, Refusing())
for module in modules:
    importlib.import_module(module)
print("all there")
"""


def modules_of(*requirements: str) -> set[str]:
    """The names that can be imported where only these are installed, and what they require."""
    of_distribution: dict[str, set[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for name in distributions:
            of_distribution.setdefault(_normal(name), set()).add(module)
    found, todo, seen = set[str](), list(requirements), set[str]()
    while todo:
        requirement = todo.pop()
        match = _REQUIREMENT.match(requirement.strip())
        assert match is not None, requirement
        name, extras = match[1], {each.strip() for each in (match[2] or "").split(",") if each.strip()}
        if requirement in seen:
            continue
        seen.add(requirement)
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another Python or system
        found |= of_distribution.get(_normal(name), set())
        for each in needed:
            extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", each)
            if extra is None or extra[1] in extras:
                todo.append(each.partition(";")[0])
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(modules: list[str], *requirements: str) -> subprocess.CompletedProcess[str]:
    allowed = ["curator_slurm", *sorted(modules_of(*IN_EVERY_IMAGE, *requirements))]
    command = [sys.executable, "-P", "-c", CHILD, json.dumps([allowed, modules])]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("modules", "more"),
    [
        (["launcher.agent.node_agent", "launcher.agent.ray_starter", "launcher.agent.ray_process"], ()),
        (["launcher.doctor.node_process"], ()),
        (["launcher.driver.driver", "launcher.driver.pipeline_loader", "launcher.driver.executor_loader"], ()),
        (["executors.stages.io.jsonl_reader", "executors.stages.io.jsonl_writer"], ()),
        (["executors.backends.ray_actor_pool.executor", "executors.backends.ray_actor_pool.run"], ()),
        (["executors.backends.ray_data.executor", "executors.backends.ray_data.rows"], OF_RAY_DATA),
        (["executors.backends.xenna.executor", "executors.backends.xenna.run"], OF_XENNA),
    ],
    ids=["agent", "doctor", "driver", "stages", "ray_actor_pool", "ray_data", "xenna"],
)
def test_what_runs_in_a_job_needs_no_more_than_the_image_has(modules: list[str], more: tuple[str, ...]) -> None:
    done = imported([f"curator_slurm.{name}" for name in modules], *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all there\n"


def test_what_only_the_login_node_needs_is_missed() -> None:
    """The check can fail: jinja2 makes the script, and no image has to have it."""
    done = imported(["curator_slurm.launcher.plan.script"])
    assert done.returncode != 0
    assert "No module named 'jinja2' in the image" in done.stderr
