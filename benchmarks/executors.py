"""Our executors and NeMo Curator's of the same name, side by side. See README.md beside this file.

    python benchmarks/executors.py                          everything; makes .venv-peer at the first run
    python benchmarks/executors.py --cases 'xenna/*/32'     a part; with --output, parts add up in one file
    python benchmarks/executors.py --output FILE --table    print the table of what has been measured

Each measurement is a fresh process that connects to a Ray which is there already. Ours, theirs and the floor take
turns, so that whatever else the machine does hits all of them. Only the standard library is needed here.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _compare import (
    BACKENDS,
    Results,
    Sample,
    add_options,
    chosen,
    describe,
    load,
    median,
    pythons,
    ratio,
    run_case,
    running_rays,
    take_turns,
)
from _ray import Layout

CASE = Path(__file__).resolve().parent / "_executor_case.py"
WANTED = {"xenna": 0.8, "ray_data": 0.5, "ray_actor_pool": 0.125}
"""Our seconds for one of theirs, at most."""


@dataclass(frozen=True)
class Workload:
    tasks: int
    payload: int
    batches: tuple[int, ...]
    work_ms: float = 0.0


WORKLOADS = {
    "tiny": Workload(2000, 16, (1, 32)),
    "1MiB": Workload(200, 1 << 20, (1, 32)),
    "50ms": Workload(100, 16, (1,), work_ms=50),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser, repeats=5)
    parser.add_argument("--cpus", type=float, default=2, help="CPUs of each Ray (default: 2)")
    options = parser.parse_args()
    results = load(options.output)
    if not options.table:
        names = chosen(case_names(), options.cases)
        python = pythons(options)
        describe(results, python, ray_cpus=options.cpus)
        measure(names, python, options, results)
    print(table(results))


def case_names() -> list[str]:
    """Back end, workload and batch size."""
    return [
        f"{backend}/{name}/{batch}"
        for name, workload in WORKLOADS.items()
        for batch in workload.batches
        for backend in BACKENDS
    ]


# -- measuring


def measure(names: list[str], python: dict[str, str], options: argparse.Namespace, results: Results) -> None:
    with running_rays(python, Layout(cpus=options.cpus)) as address:

        def run(side: str, name: str) -> Sample:
            backend, kind, batch = name.split("/")
            load_ = WORKLOADS[kind]
            case = {
                "side": side, "backend": backend, "tasks": load_.tasks, "payload": load_.payload, "batch": int(batch),
                "work_ms": load_.work_ms, "cpus": options.cpus,
            }  # fmt: skip
            return run_case(CASE, case, python[side], address[side], options.timeout)

        take_turns(names, options, results, lambda side, name: floor_name(name) if side == "floor" else name, run)


def floor_name(name: str) -> str:
    """The floor is the same for all back ends."""
    return f"floor/{name.split('/', 1)[1]}"


# -- results


def table(results: Results) -> str:
    """Markdown: medians, spread, ratios."""
    lines = [
        "| case | ours, s (spread) | NeMo Curator, s (spread) | ours / theirs | target | floor, s | ours / floor "
        "| driver peak MB, ours / theirs | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in case_names():
        sides = results["cases"].get(name)
        if not sides:
            continue
        ours, theirs = sides.get("ours", []), sides.get("theirs", [])
        floor = results["cases"].get(floor_name(name), {}).get("floor", [])
        mine, other, least = median(ours), median(theirs), median(floor)
        cells = [
            name, shown(ours), shown(theirs), ratio(mine, other), f"{WANTED[name.split('/')[0]]:g}",
            f"{least:.2f}" if least else "", ratio(mine, least), f"{peak(ours)} / {peak(theirs)}",
            f"{len(ours)} / {len(theirs)}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(samples: list[dict[str, Any]]) -> str:
    seconds = [sample["seconds"] for sample in samples if "seconds" in sample]
    failed = len(samples) - len(seconds)
    text = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})" if seconds else "-"
    return text + (f", {failed} failed" if failed else "")


def peak(samples: list[dict[str, Any]]) -> str:
    peaks = [sample["driver_peak_mb"] for sample in samples if "driver_peak_mb" in sample]
    return f"{statistics.median(peaks):.0f}" if peaks else "-"


if __name__ == "__main__":
    main()
