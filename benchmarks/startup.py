"""From the start of a batch script to a task on every node, and from the end of the driver to that of the job.

    python benchmarks/startup.py --peer-python PYTHON       ours, SlurmRayClient and `ray symmetric-run`, in turns
    python benchmarks/startup.py --sides ours               with the phases of each run

On the Slurm of tests/slurm_cluster, which needs root: it is booted for this and taken down again. All sides run the
same program, with the same token authentication.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

from slurm_cluster.api import SlurmCluster  # noqa: E402
from slurm_cluster.options import Options  # noqa: E402

SIDES = ("ours", "client", "symmetric")
WANTED = {"client": 0.5, "symmetric": 0.65}
"""Our seconds for one of theirs, at most."""
NODES = 3
_WAIT_S = 240.0
_SHARES = 250_000
"""Of the processor, for all nodes together; a process of normal priority has 1024."""
_SBATCH = ["--nodes=3", "--ntasks-per-node=1", "--cpus-per-task=2", "--mem=2500M", "--time=10", "--output=slurm-%j.log"]


def main() -> None:
    options = parse_arguments()
    results: list[dict[str, Any]] = []
    with running_cluster(options) as cluster:
        folder = cluster.shared / f"startup-{os.getpid()}"
        folder.mkdir()
        os.chown(folder, cluster.uid(), cluster.uid())
        bench = Bench(cluster, folder, options)
        for turn in range(options.repeats):
            for side in options.sides[turn % len(options.sides) :] + options.sides[: turn % len(options.sides)]:
                found = bench.measure(side)
                print(json.dumps(found), file=sys.stderr, flush=True)
                results.append(found)
                if options.output:
                    options.output.write_text(json.dumps(results, indent=1))
    print(table(results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="who is measured")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side (default: 5)")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with nemo-curator")
    parser.add_argument(
        "--endings", action="store_true", help="wait for the end of the peers' jobs: over a minute each"
    )
    parser.add_argument(
        "--logs-mib", type=int, default=0, help="write so much into Ray's logs on each node (ours only)"
    )
    parser.add_argument("--set", action="append", default=[], help="as of curator-slurm submit, for ours")
    parser.add_argument("--output", type=Path, help="JSON file with every measurement")
    options = parser.parse_args()
    if "client" in options.sides and options.peer_python is None:
        parser.error("--peer-python is needed for SlurmRayClient")
    return options


@contextlib.contextmanager
def running_cluster(options: argparse.Namespace) -> Iterator[SlurmCluster]:
    """A cluster of its own, whose users reach the environments of both sides."""
    cluster = SlurmCluster(f"/tmp/slurm-startup-{os.getpid()}")
    expose = []
    if options.peer_python:
        script = "import sys; print(sys.prefix); print(sys.base_prefix)"
        expose = subprocess.check_output([options.peer_python, "-c", script], text=True).split()
    cluster.up(Options(nodes=NODES, expose=tuple(expose), accounting=False), fresh=True)
    shares = Path("/sys/fs/cgroup/cpu") / cluster.layout.cgroup / "cpu.shares"
    if shares.exists():  # a group counts like one process, whatever the priority of those in it
        shares.write_text(str(_SHARES))
    try:
        yield cluster
    finally:
        cluster.down(purge=True)


class Bench:
    """Jobs of one user in one folder."""

    def __init__(self, cluster: SlurmCluster, folder: Path, options: argparse.Namespace) -> None:
        self.cluster = cluster
        self.folder = folder
        self.options = options
        self.task = folder / "task.py"
        self.task.write_text((HERE / "_startup_task.py").read_text())
        self.token = folder / "token"
        self.token.write_text(secrets.token_hex(32))
        os.chown(self.token, cluster.uid(), cluster.uid())
        self.token.chmod(0o600)
        self.number = 0

    def measure(self, side: str) -> dict[str, Any]:
        """One job, from sbatch to its end."""
        self.number += 1
        times = self.folder / f"times-{self.number}.json"
        phases: dict[str, float] = {}
        run = ""
        if side == "ours":
            submitted = self._submit_ours(times)
            job, run = submitted["job_id"], submitted["run_id"]
        else:
            job = self._sbatch(side, times)
        written = self._wait_for_tasks(times, job)
        whole = side == "ours" or self.options.endings
        if not whole:
            self.cluster.run(["scancel", job])
        ended = self._wait_for_end(job)
        if run:
            shown = self._command("status", run, "--timeline", "--json")
            view = json.loads(shown)
            phases = {f"{p['phase']}{'@' + p['node'] if p['node'] else ''}": p["seconds"] for p in view["phases"]}
            started = view["phases"][0]["time"]
            driver = next(p["time"] for p in view["phases"] if p["phase"] == "driver_ended")
        else:
            started = float((self.folder / f"started-{self.number}").read_text())
            driver = written.get("ended", ended)
        steps = {name: round(at - started, 2) for name, at in written.items()}
        tasks, end = round(written["tasks"] - started, 2), round(ended - driver, 2) if whole else None
        return {"side": side, "tasks": tasks, "end": end, "steps": steps, "phases": phases}

    def _submit_ours(self, times: Path) -> dict[str, Any]:
        program = [str(self.task), str(times), str(NODES), f"logs={self.options.logs_mib}"]
        spec = {
            "name": "startup",
            "pipeline": {"command": ["python", *program]},
            "resources": {"nodes": NODES, "cpus_per_node": 2, "mem_per_node": "2500M", "time": 10},
        }
        path = self.folder / "spec.yaml"
        path.write_text(json.dumps(spec))
        path.chmod(0o644)
        given = [word for each in self.options.set for word in ("--set", each)]
        submitted: dict[str, Any] = json.loads(self._command("submit", str(path), "--json", *given))
        return submitted

    def _command(self, *arguments: str) -> str:
        environment = {"CURATOR_SLURM_RUNS": str(self.folder / "runs")}
        done = self.cluster.run(["curator-slurm", *arguments], cwd=self.folder, env=environment, timeout=120)
        if not done.stdout:
            raise SystemExit(f"curator-slurm {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def _sbatch(self, side: str, times: Path) -> str:
        python = self.options.peer_python if side == "client" else Path(sys.executable)
        program = [str(python), str(self.task), str(times), str(NODES)]
        head = (
            'port=$((20000 + SLURM_JOB_ID % 5000))\nhead=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        )
        if side == "client":
            step = shlex.join([*program, "client"])
        else:
            ray = str(python.parent / "ray")
            size = "--num-cpus=2 --num-gpus=0 --object-store-memory=200000000"
            step = f'{ray} symmetric-run --address "$address" --min-nodes {NODES} {size} -- {shlex.join(program)}'
        script = (
            "#!/bin/bash\n"
            f"echo $EPOCHREALTIME >{self.folder}/started-{self.number}\n"
            f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={self.token} RAY_USAGE_STATS_ENABLED=0\n"
            f"export PATH={python.parent}:$PATH RAY_PORT_BROADCAST_DIR={self.folder}\n"
            f'{head}export address=$(getent hosts "$head" | cut -d " " -f 1):$port\n'
            f"srun --ntasks-per-node=1 bash -c {shlex.quote(step)}\n"
        )
        path = self.folder / f"job-{self.number}.sh"
        path.write_text(script)
        done = self.cluster.run(["sbatch", "--parsable", *_SBATCH, str(path)], cwd=self.folder)
        if done.returncode:
            raise SystemExit(done.stderr)
        return str(done.stdout.strip())

    def _wait_for_tasks(self, times: Path, job: str) -> dict[str, float]:
        """What the program has noted, once its tasks are done; with the end where that comes at once."""
        written: dict[str, float] = {}
        deadline = time.monotonic() + _WAIT_S
        while "ended" not in written:
            with contextlib.suppress(OSError, ValueError):
                written = json.loads(times.read_text())
            if time.monotonic() > deadline:
                logs = "".join(path.read_text()[-3000:] for path in self.folder.rglob(f"slurm-{job}.log"))
                raise SystemExit(f"job {job} has not run its tasks:\n{logs}")
            time.sleep(0.1)
        return written

    def _wait_for_end(self, job: str) -> float:
        """When Slurm has no more of it; looked at four times a second."""
        while self.cluster.run(["squeue", "-h", "-j", job, "-o", "%T"], timeout=60).stdout.strip():
            time.sleep(0.1)
        return time.time()


def table(results: list[dict[str, Any]]) -> str:
    """Medians and ratios of what was measured, and the phases of ours."""
    lines = ["| side | script to a task on every node, s | ours / this | wanted | driver's end to the job's, s | n |"]
    lines.append("|---|---|---|---|---|---|")
    median = {side: statistics.median(found) for side in SIDES if (found := _of(results, side, "tasks"))}
    for side in median:
        found, ends = _of(results, side, "tasks"), _of(results, side, "end")
        ratio = f"{median['ours'] / median[side]:.2f}" if side != "ours" and "ours" in median else ""
        end = f"{statistics.median(ends):.1f} ({min(ends):.1f}-{max(ends):.1f})" if ends else ""
        seconds = f"{median[side]:.1f} ({min(found):.1f}-{max(found):.1f})"
        lines.append(f"| {side} | {seconds} | {ratio} | {WANTED.get(side, '')} | {end} | {len(found)} |")
    phases: dict[str, list[float]] = {}
    for result in results:
        for name, seconds in {**result["phases"], **_own(result)}.items():
            phases.setdefault(name, []).append(seconds)
    rows = sorted((statistics.median(found), name) for name, found in phases.items())
    return "\n".join([*lines, "", *(f"{seconds:7.2f}  {name}" for seconds, name in rows)])


def _own(result: dict[str, Any]) -> dict[str, float]:
    return {f"program: {name}": at for name, at in result["steps"].items()} if result["side"] == "ours" else {}


def _of(results: list[dict[str, Any]], side: str, key: str) -> list[float]:
    return [result[key] for result in results if result["side"] == side and result[key] is not None]


if __name__ == "__main__":
    main()
