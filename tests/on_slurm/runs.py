"""Runs of an ordinary user on the test cluster, from the spec to what is left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

SMALL: dict[str, Any] = {"nodes": 3, "cpus_per_node": 2, "mem_per_node": "1800M", "time": 20}
"""Resources of a run on all three nodes that leaves room for a second one beside it."""
WAIT_S = 400
"""For whole runs on two loaded cores."""


@dataclass(frozen=True)
class Done:
    """A `curator-slurm` command that ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def _numbers(path: Path) -> list[int]:
    """Job 10 is after job 9."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


class Runs:
    """`curator-slurm` as alice, with a runs folder of its own in `folder`."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.runs_dir = folder / "runs"

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = WAIT_S) -> Done:
        environment = {"CURATOR_SLURM_RUNS": str(self.runs_dir), **(env or {})}
        done = self.cluster.run(["curator-slurm", *arguments], cwd=self.folder, env=environment, timeout=timeout)
        return Done(done.returncode, done.stdout, done.stderr)

    def write(self, spec: Mapping[str, Any], name: str = "spec.yaml") -> Path:
        """A spec, which ends where its job ends unless it says otherwise."""
        path = self.folder / name
        path.write_text(yaml.safe_dump({**spec, "restart": spec.get("restart", {"mechanism": "off"})}, sort_keys=False))
        path.chmod(0o644)
        return path

    def submit(self, spec: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Submit, and give what `submit --json` prints."""
        done = self.command("submit", str(self.write(spec)), "--json", *arguments, env=env)
        assert done.returncode == 0, done.output
        result: dict[str, Any] = done.json
        return result

    def run(self, spec: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """`curator-slurm run`, to its end."""
        return self.command("run", str(self.write(spec)), *arguments, env=env)

    def watch(self, run_id: str) -> Done:
        return self.command("watch", run_id)

    def status(self, run: str = "") -> dict[str, Any]:
        result: dict[str, Any] = self.command("status", *([run] if run else []), "--json").json
        return result

    def latest(self) -> Path:
        """The newest run directory."""
        return max(self.runs_dir.glob("[!.]*/*"), key=lambda path: path.name)

    def attempt(self) -> Path:
        """The newest attempt of the newest run."""
        return max(self.latest().glob("attempts/*/*.*"), key=_numbers)

    def element(self) -> Path:
        """What belongs to the newest job of the newest run, and to its nodes."""
        return self.latest() / "elements" / self.attempt().name

    def read(self, pattern: str) -> str:
        """The text of all files of the newest run that match, as root reads them."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.latest().glob(pattern)))

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.read("elements/*/events.jsonl").splitlines() if line]

    def wait_for_event(self, name: str) -> None:
        wait_for(f"the event {name}", lambda: name in self.events(), WAIT_S)

    def job_is_over(self) -> None:
        """Wait until Slurm is done with every job."""
        self.cluster.wait_until_idle()

    def assert_nothing_left(self) -> None:
        """No job, no process and no temporary file of the run on any node."""
        self.job_is_over()
        left = [*self.cluster.processes(), *self.cluster.files()]
        if left:  # no assert: pytest shows what one compares in its own files only
            raise AssertionError(f"left on nodes: {left[:20]}")


def program(text: str, nodes: int = 3, **rest: Any) -> dict[str, Any]:
    """A spec whose pipeline is a Python program with Ray connected; each node more is 5 seconds of a processor more."""
    source = "import ray, os, sys, time, socket\nray.init(log_to_driver=False)\n" + text
    return {
        "name": "program",
        "pipeline": {"command": ["python", "-c", source]},
        "resources": {**SMALL, "nodes": nodes},
        **rest,
    }


def accounting(cluster: SlurmCluster, job: str) -> list[str]:
    """States of a job and its steps, once Slurm's accounting has them all."""
    rows: list[str] = []

    def all_there() -> bool:
        rows[:] = cluster.run(["sacct", "-nP", "-j", job, "-o", "JobID,State,ExitCode"]).stdout.splitlines()
        return len(rows) >= 3 and not any("RUNNING" in row for row in rows)

    wait_for("accounting", all_there, 60)
    return rows
