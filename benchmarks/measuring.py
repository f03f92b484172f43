"""What measuring costs: our executors with the lines of metrics.jsonl, and without, in turns; see README.md.

    python benchmarks/measuring.py                       every back end, twenty minutes
    python benchmarks/measuring.py --backends xenna --rounds 3

Each measurement is a fresh process that connects to a Ray which is there already, with a file of progress on either
side, as in every run. On the side that measures, stages are sampled by the driver, and the node by a process of its
own, as by its agent. In each round both sides of every case run once, in an order that chance decides.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _compare import BACKENDS, Sample
from _ray import RAY_ENV, Layout, outside_env, running_ray

HERE = Path(__file__).resolve().parent
CASE = HERE / "_executor_case.py"
WORKLOADS = {
    "500 tasks without work": {"tasks": 500, "payload": 16, "batch": 1, "work_ms": 0},
    "100 tasks of 3 x 50 ms": {"tasks": 100, "payload": 16, "batch": 1, "work_ms": 50},
}
SIDES = ("measured", "not measured")
WANTED = 1.02
_NODE = """
import sys, time
from pathlib import Path
from curator_slurm.launcher.measuring.gpu_figures import find_gpus
from curator_slurm.launcher.measuring.node_figures import FiguresReader
from curator_slurm.launcher.measuring.node_thread import NodeMeasuring
reader = FiguresReader(find_gpus(None), lambda: Path("/tmp"), lambda: "")
measuring = NodeMeasuring(Path(sys.argv[1]), reader.read, "here")
began = time.process_time()
measuring.start()
sys.stdin.read()
measuring.end()
print(time.process_time() - began)
"""
"""A node's agent, as far as it measures, until its input ends; it prints its seconds of a processor."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=60, help="begin no further round after so many")
    parser.add_argument("--cpus", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    cases = [(backend, load) for backend in options.backends for load in WORKLOADS]
    found: dict[tuple[str, str, str], list[Sample]] = {}
    began = time.monotonic()
    with running_ray(sys.executable, Layout(cpus=options.cpus)) as address:
        for number in range(options.rounds + 1):
            if number > 1 and time.monotonic() - began > options.minutes * 60:
                break
            turns = [(*case, side) for case in cases for side in SIDES]
            chance.shuffle(turns)
            for turn in turns:
                sample = measure(*turn, address, options.cpus)
                if number:  # the first round warms up
                    found.setdefault(turn, []).append(sample)
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    print(table(cases, found))


def measure(backend: str, load: str, side: str, address: str, cpus: float) -> Sample:
    """One case: seconds by the clock, and of a processor in the driver and in what measures the node."""
    case = {"side": "ours", "backend": backend, "cpus": cpus, **WORKLOADS[load]}
    with tempfile.TemporaryDirectory(prefix="cs-measuring-") as folder:
        files = {"CURATOR_SLURM_PROGRESS": f"{folder}/progress.json"}
        lines = Path(folder, "metrics.jsonl")
        node = None
        if side == SIDES[0]:
            files["CURATOR_SLURM_METRICS"] = str(lines)
            node = subprocess.Popen(
                [sys.executable, "-c", _NODE, f"{folder}/node.jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        environment = {**outside_env(), **RAY_ENV, "RAY_ADDRESS": address, **files}
        command = [sys.executable, str(CASE), json.dumps(case)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        more = float(node.communicate()[0]) if node is not None else 0.0
        if done.returncode:
            raise SystemExit(f"{backend}, {load}, {side}: {done.stderr[-1000:]}")
        if node is not None and not lines.stat().st_size:
            raise SystemExit("nothing was measured")
    sample: Sample = json.loads(done.stdout.strip().splitlines()[-1])
    return {**sample, "cpu_s": sample["driver_cpu_s"] + more, "node_share": more / sample["seconds"]}


def table(cases: list[tuple[str, str]], found: dict[tuple[str, str, str], list[Sample]]) -> str:
    """Medians, with the least and the most, and their ratios."""
    lines = [
        "| executor | work | measured, s | not measured, s | ratio | processor of driver and agent, measured / not, s "
        "| of a core for the node | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for backend, load in cases:
        measured, plain = (found[backend, load, side] for side in SIDES)
        ratios.append(median_of(measured, "seconds") / median_of(plain, "seconds"))
        cpu = f"{median_of(measured, 'cpu_s'):.2f} / {median_of(plain, 'cpu_s'):.2f}"
        share = f"{median_of(measured, 'node_share'):.2%}"
        cells = [backend, load, shown(measured), shown(plain), f"{ratios[-1]:.3f}", cpu, share, str(len(plain))]
        lines.append(f"| {' | '.join(cells)} |")
    mean = statistics.geometric_mean(ratios)
    lines.append(f"| all | wanted: {WANTED:g} at most | | | {mean:.3f} | | | |")
    return "\n".join(lines)


def median_of(samples: list[Sample], key: str) -> float:
    return statistics.median(sample[key] for sample in samples)


def shown(samples: list[Sample]) -> str:
    """The median, and the range."""
    seconds = [sample["seconds"] for sample in samples]
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    main()
