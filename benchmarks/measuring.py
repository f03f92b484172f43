"""What measuring costs: our executors with the lines of metrics.jsonl, and without, in turns; see README.md.

    python benchmarks/measuring.py                       every back end, twelve minutes
    python benchmarks/measuring.py --backends xenna --rounds 3

Each measurement is a fresh process that connects to a Ray which is there already, with a file of progress on either
side, as in every run. On the side that measures, stages are sampled by the driver, and the node by a process of its
own, as by its agent. In each round both sides of every case run once, in an order that chance decides.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _compare import BACKENDS
from _ray import RAY_ENV, Layout, outside_env, running_ray

HERE = Path(__file__).resolve().parent
CASE = HERE / "_executor_case.py"
WORKLOADS = {
    "2,000 tasks without work": {"tasks": 2000, "payload": 16, "batch": 1, "work_ms": 0},
    "200 tasks of 3 x 20 ms": {"tasks": 200, "payload": 16, "batch": 1, "work_ms": 20},
}
SIDES = ("measured", "not measured")
WANTED = 1.02
_NODE = """
import os, sys, threading
from pathlib import Path
from curator_slurm.launcher.measuring.gpu_figures import find_gpus
from curator_slurm.launcher.measuring.node_figures import FiguresReader
from curator_slurm.launcher.measuring.node_thread import NodeMeasuring
reader = FiguresReader(find_gpus(None), lambda: Path("/tmp"), lambda: "")
measuring = NodeMeasuring(Path(sys.argv[1]), reader.read, "here")
measuring.start()
sys.stdin.read()
measuring.end()
"""
"""A node's agent, as far as it measures, until its input ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpus", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    cases = [(backend, load) for backend in options.backends for load in WORKLOADS]
    found: dict[tuple[str, str, str], list[float]] = {}
    with running_ray(sys.executable, Layout(cpus=options.cpus)) as address:
        for number in range(options.rounds + 1):
            turns = [(*case, side) for case in cases for side in SIDES]
            chance.shuffle(turns)
            for turn in turns:
                seconds = measure(*turn, address, options.cpus)
                if number:  # the first round warms up
                    found.setdefault(turn, []).append(seconds)
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    print(table(cases, found))


def measure(backend: str, load: str, side: str, address: str, cpus: float) -> float:
    """Seconds of one case."""
    case = {"side": "ours", "backend": backend, "cpus": cpus, **WORKLOADS[load]}
    with tempfile.TemporaryDirectory(prefix="cs-measuring-") as folder:
        files = {"CURATOR_SLURM_PROGRESS": f"{folder}/progress.json"}
        if side == SIDES[0]:
            files["CURATOR_SLURM_METRICS"] = f"{folder}/metrics.jsonl"
        environment = {**outside_env(), **RAY_ENV, "RAY_ADDRESS": address, **files}
        with measured_node(Path(folder, "node.jsonl")) if side == SIDES[0] else contextlib.nullcontext():
            done = subprocess.run(
                [sys.executable, str(CASE), json.dumps(case)], env=environment, capture_output=True, text=True,
                timeout=300, check=False,
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{backend}, {load}, {side}: {done.stderr[-1000:]}")
        if side == SIDES[0] and not Path(files["CURATOR_SLURM_METRICS"]).stat().st_size:
            raise SystemExit("nothing was measured")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


@contextlib.contextmanager
def measured_node(path: Path) -> Iterator[None]:
    """This machine, measured as a node."""
    command = [sys.executable, "-c", _NODE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdin is not None
        yield
        process.stdin.close()


def table(cases: list[tuple[str, str]], found: dict[tuple[str, str, str], list[float]]) -> str:
    """Medians, with the least and the most, and their ratio."""
    lines = [
        "| executor | work | measured, s | not measured, s | ratio of medians | of the least | n |",
        "|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for backend, load in cases:
        measured, plain = (found[backend, load, side] for side in SIDES)
        ratios.append(statistics.median(measured) / statistics.median(plain))
        cells = [backend, load, shown(measured), shown(plain), f"{ratios[-1]:.3f}", f"{min(measured) / min(plain):.3f}"]
        lines.append(f"| {' | '.join(cells)} | {len(plain)} |")
    mean = statistics.geometric_mean(ratios)
    lines.append(f"| all | wanted: {WANTED:g} at most | | | {mean:.3f} | | |")
    return "\n".join(lines)


def shown(seconds: list[float]) -> str:
    """The median, and the range."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    main()
