"""How soon and how fully executors use a cluster: stages that sleep, ours, NeMo Curator's and raw actors by turns.

    python benchmarks/fill.py                                 everything; makes .venv-peer at the first run
    python benchmarks/fill.py --cases 'ray_actor_pool/*'      a part; with --output, parts add up in one file
    python benchmarks/fill.py --output FILE --table           print the table of what has been measured

Shapes are in _fill_shapes.py, what is computed of each run in _fill_figures.py. Every measurement is a fresh process
that connects to a Ray of several nodes on this machine, which is there already. The stages sleep, so that two cores
are enough for the work of sixteen; starting workers takes them nevertheless.
"""

from __future__ import annotations

import argparse
from pathlib import Path

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
    run_case,
    running_rays,
    take_turns,
)
from _fill_shapes import SHAPES

CASE = Path(__file__).resolve().parent / "_fill_case.py"
NAMES = [f"{backend}/{shape}" for shape in SHAPES for backend in BACKENDS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser, repeats=3)
    options = parser.parse_args()
    results = load(options.output)
    if not options.table:
        names = chosen(NAMES, options.cases)
        python = pythons(options)
        describe(results, python)
        measure(names, python, options, results)
    print(table(results))


def measure(names: list[str], python: dict[str, str], options: argparse.Namespace, results: Results) -> None:
    """One Ray per side for all shapes of a layout."""
    for layout in dict.fromkeys(shape.layout for shape in SHAPES.values()):
        here = [name for name in names if SHAPES[shape_of(name)].layout == layout]
        if not here or not missing(here, options, results):
            continue
        with running_rays(python, layout) as address:
            for side in python:
                run_case(CASE, {"side": "floor", "shape": "warm-up"}, python[side], address[side], options.timeout)

            def run(side: str, name: str, address: dict[str, str] = address) -> Sample:
                case = {"side": side, "backend": name.split("/")[0], "shape": shape_of(name)}
                return run_case(CASE, case, python[side], address[side], options.timeout)

            take_turns(here, options, results, key, run)


def missing(names: list[str], options: argparse.Namespace, results: Results) -> bool:
    """Whether there is anything left to measure."""
    have = [results["cases"].get(key(side, name), {}).get(side, []) for name in names for side in options.sides]
    return any(len(samples) < options.repeats for samples in have)


def shape_of(name: str) -> str:
    return name.split("/")[1]


def key(side: str, name: str) -> str:
    """The floor is the same for all back ends."""
    return f"floor/{shape_of(name)}" if side == "floor" else name


# -- results


def table(results: Results) -> str:
    """Markdown: for every shape the floor, then both sides of each back end, as medians."""
    lines = [
        "| shape | who | time / ideal | time / raw actors | steady state | ramp, s | ramp / raw actors | GPU busy "
        "| nodes | n |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    cases = results["cases"]
    for name, shape in SHAPES.items():
        floor = cases.get(f"floor/{name}", {}).get("floor", [])
        rows = [("raw Ray actors", floor)]
        for backend in BACKENDS:
            sides = cases.get(f"{backend}/{name}", {})
            rows += [(f"{backend}, ours", sides.get("ours", [])), (f"{backend}, theirs", sides.get("theirs", []))]
        for who, samples in rows:
            if samples:
                lines.append(f"| {shape.title} | {who} | {' | '.join(cells(samples, floor))} |")
    return "\n".join(lines)


def cells(samples: list[Sample], floor: list[Sample]) -> list[str]:
    """The figures of one row."""
    done = [sample for sample in samples if "seconds" in sample]
    failed = len(samples) - len(done)
    count = f"{len(done)}" + (f", {failed} failed" if failed else "")
    if not done:
        return [*["-"] * 7, "-", count]
    full = [sample for sample in done if sample["ramp"] is not None]
    ramp, floor_ramp = (median(found, "ramp") for found in (done, floor))
    return [
        shown(median(done, "over_ideal")),
        shown(over(median(done), median(floor))),
        shown(median(done, "steady")),
        shown(ramp, 1) if 2 * len(full) > len(done) else "never",
        shown(over(ramp, floor_ramp)),
        shown(median(done, "gpu_busy")),
        f"{median(done, 'nodes'):g}, one has {100 * (median(done, 'largest_share') or 0):.0f} %",
        count,
    ]


def over(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def shown(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
