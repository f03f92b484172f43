"""Ours, NeMo Curator's and the floor by turns: options, the file of results, medians. Only the standard library."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from _environment import machine, package_versions, peer_python
from _ray import RAY_ENV, Layout, outside_env, running_ray

BACKENDS = ("xenna", "ray_data", "ray_actor_pool")
SIDES = ("ours", "theirs", "floor")
Results = dict[str, Any]
Sample = dict[str, Any]


def add_options(parser: argparse.ArgumentParser, repeats: int) -> None:
    """What all comparisons have in common."""
    parser.add_argument("--cases", nargs="+", default=["*"], help="patterns of cases, such as 'xenna/*' (default: all)")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES, help="who is measured")
    parser.add_argument(
        "--repeats", "--repeat", type=int, default=repeats,
        help=f"measurements of each case and side, those that --output already has included (default: {repeats})",
    )  # fmt: skip
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with nemo-curator")
    parser.add_argument("--output", "--json", type=Path, help="JSON file with every measurement; new ones are added")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what --output holds")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one measurement may take")


def chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The cases that a pattern names."""
    found = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not found:
        raise SystemExit(f"no case is called like that; there are {', '.join(names)}")
    return found


def pythons(options: argparse.Namespace) -> dict[str, str]:
    """The Python of every side that is measured."""
    found = {side: sys.executable for side in options.sides if side != "theirs"}
    if "theirs" in options.sides:
        found["theirs"] = str(peer_python(options.peer_python))
    return found


def describe(results: Results, python: dict[str, str], **more: Any) -> None:
    """Note on what is measured."""
    versions = results["machine"].get("versions", {})
    for side in ("ours", "theirs"):
        if side in python:
            versions[side] = package_versions(python[side])
    results["machine"] = {**machine(), **more, "versions": versions}


@contextlib.contextmanager
def running_rays(python: dict[str, str], layout: Layout) -> Iterator[dict[str, str]]:
    """A Ray for each side, the addresses by side; the floor is measured on ours."""
    with contextlib.ExitStack() as stack:
        address = {name: stack.enter_context(running_ray(name, layout)) for name in dict.fromkeys(python.values())}
        yield {side: address[name] for side, name in python.items()}


def take_turns(
    names: Sequence[str],
    options: argparse.Namespace,
    results: Results,
    key: Callable[[str, str], str],
    run: Callable[[str, str], Sample],
) -> None:
    """Measure what is missing in the results. `key(side, case)` is where a sample belongs: one floor serves several."""
    for turn in range(options.repeats):
        for name in names:
            # every other turn the other way round: nobody always runs behind the same one
            for side in options.sides if turn % 2 == 0 else options.sides[::-1]:
                samples = results["cases"].setdefault(key(side, name), {}).setdefault(side, [])
                if len(samples) > turn:
                    continue
                sample = run(side, name)
                samples.append(sample)
                print(f"{name:24} {side:7} {sample}", file=sys.stderr, flush=True)
                save(options.output, results)


def run_case(script: Path, case: dict[str, Any], python: str, address: str, timeout: float) -> Sample:
    """One measurement in a fresh process, which prints a line of JSON."""
    try:
        done = subprocess.run(
            [python, str(script), json.dumps(case)],
            env={**outside_env(), **RAY_ENV, "RAY_ADDRESS": address},
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout:g} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:500]}
    sample: Sample = json.loads(done.stdout.strip().splitlines()[-1])
    return sample


def load(path: Path | None) -> Results:
    """What has been measured so far."""
    if path is not None and path.exists():
        found: Results = json.loads(path.read_text())
        return found
    return {"machine": {}, "cases": {}}


def save(path: Path | None, results: Results) -> None:
    """Keep it, whole at any time."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(path)


def median(samples: Sequence[Sample], figure: str = "seconds") -> float | None:
    """Of the samples that have this figure."""
    values = [sample[figure] for sample in samples if sample.get(figure) is not None]
    return statistics.median(values) if values else None


def ratio(one: float | None, other: float | None, digits: int = 3) -> str:
    """One over the other, where both are known."""
    return f"{one / other:.{digits}f}" if one and other else ""
