"""Our executors and NeMo Curator's of the same name, side by side. See README.md beside this file.

    python benchmarks/executors.py                          everything; makes .venv-peer at the first run
    python benchmarks/executors.py --cases 'xenna/*/32'     a part; with --output, parts add up in one file
    python benchmarks/executors.py --output FILE --table    print the table of what has been measured

Each measurement is a fresh process that connects to a Ray which is there already. Ours, theirs and the floor take
turns, so that whatever else the machine does hits all of them. Only the standard library is needed here.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CASE = HERE / "_executor_case.py"
PEER_VENV = HERE.parent / ".venv-peer"
PEER_PACKAGES = ("torch==2.13.0", "nemo-curator==1.4.0")
BACKENDS = ("xenna", "ray_data", "ray_actor_pool")
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
MARK = "CURATOR_SLURM_BENCHMARK_RAY"
"""In the environment of all processes of a Ray: which one it is."""
# What the cluster of both sides is started with: the variables that cosmos-xenna asks for.
RAY_ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
    "RAY_MAX_LIMIT_FROM_API_SERVER": "40000",
    "RAY_MAX_LIMIT_FROM_DATA_SOURCE": "40000",
}


def main() -> None:
    options = parse_arguments()
    results = load(options.output)
    if not options.table:
        python = {"ours": sys.executable, "floor": sys.executable, "theirs": str(peer_python(options.peer_python))}
        versions = {side: package_versions(python[side]) for side in ("ours", "theirs")}
        results["machine"] = {**machine(options.cpus), "versions": versions}
        names = [name for name in case_names() if any(fnmatch.fnmatch(name, pattern) for pattern in options.cases)]
        if not names:
            raise SystemExit(f"no case is called like that; there are {', '.join(case_names())}")
        measure(names, python, options, results)
    print(table(results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", nargs="+", default=["*"], help="patterns such as 'xenna/tiny/32' (default: all)")
    parser.add_argument("--sides", nargs="+", default=["ours", "theirs", "floor"], help="who is measured")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each case and side (default: 5)")
    parser.add_argument("--cpus", type=float, default=2, help="CPUs of each Ray (default: 2)")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with nemo-curator")
    parser.add_argument("--output", type=Path, help="JSON file with every measurement; new ones are added")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what --output holds")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one measurement may take")
    return parser.parse_args()


def case_names() -> list[str]:
    """Back end, workload and batch size."""
    return [
        f"{backend}/{name}/{batch}"
        for name, workload in WORKLOADS.items()
        for batch in workload.batches
        for backend in BACKENDS
    ]


def peer_python(given: Path | None) -> Path:
    """The environment with NeMo Curator; made beside ours where none is given."""
    python = given or PEER_VENV / "bin" / "python"
    if given is None and not (PEER_VENV / "complete").exists():
        print(f"Installing {' and '.join(PEER_PACKAGES)} into {PEER_VENV} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEER_VENV)], check=True)
        for package in PEER_PACKAGES:  # in this order: the second is content with the torch that is there
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
        (PEER_VENV / "complete").touch()
    if not python.exists():
        raise SystemExit(f"{python} does not exist; --peer-python takes a Python that has nemo-curator")
    return python


def package_versions(python: str) -> dict[str, str]:
    """What is compared."""
    names = ["curator-slurm", "nemo-curator", "cosmos-xenna", "ray", "pyarrow"]
    script = (
        "import importlib.metadata as m, json, platform, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        f"print(json.dumps({{'python': platform.python_version(), **{{n: have[n] for n in {names} if n in have}}}}))"
    )
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", script], check=True, capture_output=True).stdout)
    return found


def machine(cpus: float) -> dict[str, Any]:
    model = "unknown"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "system": platform.system(),
        "ray_cpus": cpus,
        "date": time.strftime("%Y-%m-%d"),
    }


# -- measuring


def measure(names: list[str], python: dict[str, str], options: argparse.Namespace, results: dict[str, Any]) -> None:
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(running_ray(python["ours"], options.cpus))
        theirs = stack.enter_context(running_ray(python["theirs"], options.cpus))
        address = {"ours": ours, "floor": ours, "theirs": theirs}
        for turn in range(options.repeats):
            for name in names:
                # every other turn the other way round: nobody always runs behind the same one
                for side in options.sides if turn % 2 == 0 else options.sides[::-1]:
                    key = floor_name(name) if side == "floor" else name
                    samples = results["cases"].setdefault(key, {}).setdefault(side, [])
                    if side == "floor" and len(samples) > turn and key != name:
                        continue  # one floor for all back ends
                    sample = run_case(side, name, python[side], address[side], options)
                    samples.append(sample)
                    print(f"{name:24} {side:7} {sample}", file=sys.stderr, flush=True)
                    save(options.output, results)


def floor_name(name: str) -> str:
    """The floor is the same for all back ends."""
    return f"floor/{name.split('/', 1)[1]}"


@contextlib.contextmanager
def running_ray(python: str, cpus: float) -> Iterator[str]:
    """A Ray whose workers run in this Python's environment; yields its address."""
    with tempfile.TemporaryDirectory(prefix="cs-bench-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        outside = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        holder = subprocess.Popen(
            [python, str(CASE), "hold", str(cpus), f"{folder}/ray"],
            env={**outside, **RAY_ENV, MARK: folder}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdin is not None
        try:
            address = holder.stdout.readline().strip()
            if not address:
                raise SystemExit(f"a Ray of {python} did not start")
            yield address
        finally:
            holder.stdin.close()
            try:
                holder.wait(60)
            except subprocess.TimeoutExpired:
                holder.kill()
            end_marked(folder)


def end_marked(mark: str) -> None:
    """End what has outlived its Ray: workers of the peer's cosmos-xenna do."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


def run_case(side: str, name: str, python: str, address: str, options: argparse.Namespace) -> dict[str, Any]:
    backend, kind, batch = name.split("/")
    load_ = WORKLOADS[kind]
    case = {
        "side": side, "backend": backend, "tasks": load_.tasks, "payload": load_.payload, "batch": int(batch),
        "work_ms": load_.work_ms, "cpus": options.cpus,
    }  # fmt: skip
    outside = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    try:
        done = subprocess.run(
            [python, str(CASE), json.dumps(case)],
            env={**outside, **RAY_ENV, "RAY_ADDRESS": address},
            capture_output=True, text=True, timeout=options.timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {options.timeout:g} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:500]}
    sample: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return sample


# -- results


def load(path: Path | None) -> dict[str, Any]:
    if path is not None and path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    return {"machine": {}, "cases": {}}


def save(path: Path | None, results: dict[str, Any]) -> None:
    if path is not None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=1))
        temporary.replace(path)


def median(samples: list[dict[str, Any]]) -> float | None:
    seconds = [sample["seconds"] for sample in samples if "seconds" in sample]
    return statistics.median(seconds) if seconds else None


def table(results: dict[str, Any]) -> str:
    """Markdown: medians, spread, ratios."""
    lines = [
        f"Machine: {json.dumps(results['machine'])}",
        "",
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


def ratio(one: float | None, other: float | None) -> str:
    return f"{one / other:.3f}" if one and other else ""


def peak(samples: list[dict[str, Any]]) -> str:
    peaks = [sample["driver_peak_mb"] for sample in samples if "driver_peak_mb" in sample]
    return f"{statistics.median(peaks):.0f}" if peaks else "-"


if __name__ == "__main__":
    main()
