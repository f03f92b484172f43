"""A virtual environment of many files on shared storage, and what a run can tell of where it came from."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from on_slurm.runs import SMALL, Runs

HELLO = "#!{python}\nimport sys\nprint(sys.prefix)\n"
PROGRAM = """
import json, os, socket, subprocess, sys
import elsewhere, many
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ray.init(log_to_driver=False)

@ray.remote(num_cpus=1)
def look():
    import many.m7
    called = subprocess.run(["python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    script = subprocess.run(["hello"], capture_output=True, text=True)
    return {
        "node": socket.gethostname(), "prefix": sys.prefix, "base": sys.base_prefix, "many": many.m7.__file__,
        "called": called.stdout.strip(), "script": script.stdout.strip(), "elsewhere": elsewhere.__file__,
    }

nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
strategies = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
print("FOUND", json.dumps(ray.get([look.options(scheduling_strategy=each).remote() for each in strategies])))
"""
QUICK = (
    "import json, os, sys; print('FOUND', json.dumps([{'prefix': sys.prefix, 'models': os.environ.get('MODELS', '')}]))"
)


def make_environment(folder: Path, files: int) -> Path:
    """A virtual environment with as many modules, a script, and a package that lies elsewhere; it uses the tests'."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = next(venv.glob("lib/python3*/site-packages"))
    many = packages / "many"
    many.mkdir()
    (many / "__init__.py").touch()
    for number in range(files):
        if number % 1000 == 0:
            part = many if number == 0 else many / f"part{number // 1000}"
            part.mkdir(exist_ok=True)
        (part / f"m{number}.py").write_text(f"NUMBER = {number}\n")
    project = folder / "project"
    project.mkdir()
    (project / "elsewhere.py").touch()
    (packages / "project.pth").write_text(
        f"{project}\nimport site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    script = venv / "bin/hello"
    script.write_text(HELLO.format(python=venv / "bin/python"))
    script.chmod(0o755)
    return venv


def staged_spec(venv: Path, command: str = QUICK, nodes: int = 3, **environment: Any) -> dict[str, Any]:
    """A run that tells where its software is; without Ray unless the command needs it."""
    return {
        "name": "staged",
        "pipeline": {"command": ["python", "-c", command]},
        "resources": {**SMALL, "nodes": nodes},
        "environment": {"venv": str(venv), "stage": "node_local", **environment},
        "cluster": {"ray": command == PROGRAM, "join_timeout_s": 200},
    }


def found(runs: Runs) -> list[dict[str, str]]:
    """What the newest run has printed."""
    lines = [line for line in runs.read("attempts/*/*/driver.log").splitlines() if line.startswith("FOUND ")]
    result: list[dict[str, str]] = json.loads(lines[-1].removeprefix("FOUND "))
    return result


def slow_tar(folder: Path, gate: Path) -> str:
    """A setup command with which unpacking holds still, just before it is done, until there is a gate."""
    tar = folder / "slow/tar"
    tar.parent.mkdir()
    tar.write_text(f'#!/bin/sh\n/usr/bin/tar "$@"\nwhile [ ! -e {gate} ]; do sleep 0.1; done\n')
    tar.chmod(0o755)
    return f"export PATH={tar.parent}:$PATH"


def event(runs: Runs, run: Path | None = None) -> dict[str, Any]:
    """The event about the nodes' software, of the newest job of a run, or of the newest run."""
    (path,) = [runs.element() / "events.jsonl"] if run is None else run.glob("elements/*/events.jsonl")
    lines = path.read_text().splitlines()
    return next(each for each in map(json.loads, lines) if each["event"] == "software_staged")


def how(runs: Runs, run: Path | None = None) -> list[str]:
    """How each node has got its software, by the names of nodes."""
    nodes = event(runs, run)["nodes"]
    return [nodes[name]["how"] for name in sorted(nodes)]


def copies(runs: Runs, node: str) -> list[str]:
    """The names in the folders of copies on a node."""
    listing = runs.cluster.run(["bash", "-c", "ls -A /tmp/cs-staged-*"], node=node).stdout.splitlines()
    return [name for name in listing if name and not name.endswith((".lock", ":"))]
