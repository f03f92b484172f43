"""FakeSlurm: a test's hold on its fake cluster."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from fake_slurm.processes import kill_everything
from fake_slurm.store import Element, Job, Store, record

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sacct", "sacctmgr", "sinfo", "srun")

SETTINGS: dict[str, Any] = {
    "nodes": 3,
    "cpus": 4,
    "gpus": 2,
    "memory_mb": 6000,
    "time_limit": "infinite",
    "partitions": ["main", "preempt", "short"],
    "default_partition": "main",
    "max_array_size": 1001,
    "max_submit_jobs": None,
    "accounting": True,
    "kill_wait_s": 5,
    "requeue_delay_s": 0,
    "running_elements": 4,
    "min_job_age_s": 300,
}


class FakeSlurm:
    """One fake cluster in a folder; `bin` holds its commands, to be put first on PATH."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """Prepare the folder; keyword arguments replace entries of SETTINGS."""
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (folder / "jobs").mkdir()
        self.store = Store(folder)
        self.configure(**(SETTINGS | settings))
        for command in COMMANDS:
            executable = self.bin / command
            executable.write_text(f'#!/bin/sh\nexec {shlex.join(self.store.command_line(command))} "$@"\n')
            executable.chmod(0o755)

    def configure(self, **settings: Any) -> None:
        """Change settings; running jobs keep those they started with."""
        path = self.folder / "settings.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        new = path.with_suffix(".new")
        new.write_text(json.dumps(before | settings))
        new.rename(path)

    def remove_command(self, command: str) -> None:
        """Make as if a command were not installed."""
        (self.bin / command).unlink()

    def fail_next(
        self,
        command: str,
        *,
        stderr: str = "",
        stdout: str = "",
        returncode: int = 1,
        delay: float = 0,
        times: int = 1,
        instead: bool = True,
    ) -> None:
        """Make the next calls of a command fail; with `instead=False` they also do their work, and succeed.

        `sbatch.test-only` are the calls of sbatch with that option, `sbatch` the others.
        """
        plan = self.folder / f"failures.{command}.json"
        failure = {
            "stderr": stderr, "stdout": stdout, "returncode": returncode, "delay": delay, "instead": instead,
        }  # fmt: skip
        planned = json.loads(plan.read_text()) if plan.exists() else []
        plan.write_text(json.dumps(planned + [failure] * times))

    @property
    def calls(self) -> list[list[str]]:
        """Every call so far, as command and arguments."""
        log = self.folder / "calls.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [[call["command"], *call["arguments"]] for call in map(json.loads, lines)]

    def calls_of(self, command: str) -> list[list[str]]:
        """Arguments of each call of one command; of sbatch, those that submit."""
        return [call[1:] for call in self.calls if call[0] == command and "--test-only" not in call]

    @property
    def jobs(self) -> list[Job]:
        """All jobs, oldest first, with `facts` of the submission and `elements`."""
        return list(self.store.all())

    def element(self, shown_id: str | int) -> Element:
        """One job or array element by the id that squeue shows."""
        return self.store.find([str(shown_id)])[0][1][0]

    def pause(self) -> None:
        """Let jobs pend until `resume`."""
        (self.folder / "paused").touch()

    def resume(self) -> None:
        """Undo `pause`."""
        (self.folder / "paused").unlink(missing_ok=True)

    def request(self, shown_id: str | int, request: str) -> None:
        """Do to a job what Slurm may do: `node_fail`, `preempt`, `requeue`, `time_limit`, `cancel`, ..."""
        for job, elements in self.store.find([str(shown_id)]):
            record(job.folder, [e.task for e in elements], request=request)

    def set_state(self, shown_id: str | int, state: str, **more: Any) -> None:
        """Claim a state for a job that nothing runs for any more, such as OUT_OF_MEMORY."""
        for job, elements in self.store.find([str(shown_id)]):
            record(job.folder, [e.task for e in elements], state=state, **more)

    def wait(self, shown_id: str | int, state: str | None = None, timeout: float = 60) -> list[Element]:
        """Wait until all elements of a job are in a state, or over; return them."""
        deadline = time.monotonic() + timeout
        while True:
            elements = self.store.find([str(shown_id)])[0][1]
            if all(e.state == state if state else e.final for e in elements):
                return elements
            if time.monotonic() > deadline:
                states = sorted({e.state for e in elements})
                raise TimeoutError(f"job {shown_id} is {states} and not {state or 'over'} after {timeout:g} s")
            time.sleep(0.02)

    def close(self) -> None:
        """Kill everything that the cluster has started."""
        kill_everything(self.folder)


def environment(fake: FakeSlurm, inherited: dict[str, str]) -> dict[str, str]:
    """Return an environment for a child that should see the fake commands and this Python's."""
    path = f"{fake.bin}:{sys.prefix}/bin:{inherited.get('PATH', '')}"
    return {k: v for k, v in inherited.items() if not k.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))} | {"PATH": path}
