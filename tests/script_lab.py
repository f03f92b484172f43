"""Runs rendered scripts under bash: with a Python that only records, and with a Slurm that only runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.script import render
from curator_slurm.launcher.spec.model import Spec

_RECORDER = """\
#!/bin/bash
printf '%s\\0' "$@" >"$RECORD.argv"
env -0 >"$RECORD.env"
pwd >"$RECORD.cwd"
umask >"$RECORD.umask"
cat /proc/$PPID/cmdline >"$RECORD.shell"
exit "${FAKE_EXIT:-0}"
"""

_SRUN = """\
#!/bin/bash
folder=$(dirname "$0")
while [[ $1 == --* || $1 == : ]]; do echo "$1" >>"$folder/srun.argv"; shift; done
[[ -x $folder/storage ]] && "$folder/storage" "${!#}"
exec "$@"
"""

_SCONTROL = """\
#!/bin/bash
printf 'JobId=4711 JobName=x\\n   Command=%s\\n   WorkDir=/elsewhere\\n' "$(cat "$(dirname "$0")/command")"
"""


@dataclass
class Outcome:
    """What a script did."""

    returncode: int
    stderr: str
    argv: list[str]
    environment: dict[str, str]
    cwd: str


class ScriptLab:
    """A folder with a recording Python, a fake srun and scontrol, and a run directory."""

    def __init__(self, folder: Path, run_dir: Path | None = None) -> None:
        self.folder = folder
        self.run_dir = run_dir or folder / "run"
        self.run_dir.mkdir(exist_ok=True)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.record = folder / "record"
        self.python = self.bin / "recording-python"
        for path, text in (
            (self.python, _RECORDER),
            (self.bin / "srun", _SRUN),
            (self.bin / "scontrol", _SCONTROL),
        ):
            path.write_text(text)
            path.chmod(0o755)

    def plan(self, where: Cluster, python: str | None = "", **sections: object) -> Plan:
        """A plan with these sections and the recording Python."""
        environment = {**sections.pop("environment", {})}  # type: ignore[dict-item]
        environment["env"] = {**environment.get("env", {}), "RECORD": str(self.record)}
        spec = Spec.model_validate(
            {"name": "demo", "pipeline": {"command": "true"}, "environment": environment, **sections}
        )
        return Plan(
            version="1.2.3",
            cluster=where,
            spec=spec,
            spec_dir=str(self.folder),
            python=str(self.python) if python == "" else python,
        )

    def run(
        self,
        plan: Plan,
        cwd: Path | None = None,
        arguments: Sequence[str] = (),
        without: Sequence[str] = (),
        **variables: str,
    ) -> Outcome:
        """Render the plan into the run directory and run the script in `cwd` (default: there)."""
        script = self.run_dir / "job.sbatch"
        script.write_text(render(plan))
        (self.run_dir / "plan.yaml").write_text(plan.to_yaml())
        (self.bin / "command").write_text(str(script))
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": "/nowhere", **variables}
        if plan.cluster is Cluster.SLURM:
            environment = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", **environment}
            copy = self.folder / "slurm_script"
            copy.write_bytes(script.read_bytes())
            script = copy
        for name in without:
            del environment[name]
        done = subprocess.run(
            ["/bin/bash", str(script), *arguments],
            cwd=cwd or self.run_dir,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stderr, *self._recorded())

    def _recorded(self) -> tuple[list[str], dict[str, str], str]:
        argv = self.record.with_name("record.argv")
        if not argv.exists():
            return [], {}, ""
        environment = self.record.with_name("record.env").read_bytes().decode().split("\0")[:-1]
        return (
            argv.read_bytes().decode().split("\0")[:-1],
            dict(item.split("=", 1) for item in environment),
            self.record.with_name("record.cwd").read_text().removesuffix("\n"),
        )

    def umask(self) -> str:
        """The umask of the recording Python."""
        return self.record.with_name("record.umask").read_text().strip()

    def shell(self) -> str:
        """The command line of the shell that started the recording Python."""
        return self.record.with_name("record.shell").read_bytes().decode(errors="surrogateescape")

    def program(self, name: str, *lines: str) -> None:
        """Put a bash script first on PATH; `storage` runs between the batch script and a node, with the node's file."""
        path = self.bin / name
        path.write_text("\n".join(["#!/bin/bash", *lines, ""]))
        path.chmod(0o755)

    def node_status(self) -> dict[str, object]:
        """The status.json that node_fail wrote."""
        [path] = self.run_dir.glob("elements/*/nodes/*/status.json")
        found: dict[str, object] = json.loads(path.read_text())
        return found
