"""All benchmarks, one after the other; their tables go into docs/performance.md: `make bench`.

    python benchmarks/bench.py                          all of them; one that is interrupted goes on at the next call
    python benchmarks/bench.py fill startup             these
    python benchmarks/bench.py fill --again             from the start
    python benchmarks/bench.py --list                   what there is

A benchmark is an entry of BENCHMARKS and a section of docs/performance.md with two marks, between which its table
stands. It is a script that prints Markdown, of which the tables are kept, in build/bench/, too: where they are there,
it is not run again. A script that can resume has `{results}` among its options.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from _environment import machine, package_versions, peer_python
from _plot import bars, rows_of

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
RESULTS = HERE.parent / "build" / "bench"


@dataclass(frozen=True)
class Plot:
    """A column of a benchmark's table as bars: one group for each value of `group`, one bar for each of `bar`."""

    title: str
    group: str
    bar: str
    column: str


@dataclass(frozen=True)
class Benchmark:
    """`{peer}` among the options is NeMo Curator's Python, `{results}` a file that the script keeps its samples in."""

    name: str
    script: str
    options: tuple[str, ...] = ()
    plot: Plot | None = None


PEER = ("--peer-python", "{peer}")
BENCHMARKS = (
    Benchmark(
        "fill",
        "fill.py",
        ("--output", "{results}", *PEER),
        Plot("Time over ideal time", "shape", "who", "time / ideal"),
    ),
    Benchmark("executors", "executors.py", ("--output", "{results}", *PEER)),
    Benchmark("measuring", "measuring.py"),
    Benchmark("startup", "startup.py", PEER),
    Benchmark("shards", "shards.py"),
    Benchmark("storage", "storage_operations.py"),
    Benchmark("joining", "joining.py"),
    Benchmark("command-line", "command_line.py"),
    Benchmark("expansion", "expansion.py"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--again", action="store_true", help="also those that have been measured")
    parser.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with nemo-curator")
    options = parser.parse_args()
    there = {benchmark.name: benchmark for benchmark in BENCHMARKS if (HERE / benchmark.script).exists()}
    if options.list:
        print("\n".join(f"{name:14} {benchmark.script}" for name, benchmark in there.items()))
        return
    unknown = sorted(set(options.names) - set(there))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(there)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = [name for name in options.names or there if not run(there[name], options)]
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}; the output is above, and another call tries them again")


def run(benchmark: Benchmark, options: argparse.Namespace) -> bool:
    """Measure unless that is done, and write the table into the page. Whether it worked."""
    printed, results = RESULTS / f"{benchmark.name}.md", RESULTS / f"{benchmark.name}.json"
    if options.again:
        printed.unlink(missing_ok=True)
        results.unlink(missing_ok=True)
    if not printed.exists():
        given = [str(results) if word == "{results}" else word for word in benchmark.options]
        if "{peer}" in given:
            given[given.index("{peer}")] = str(peer_python(options.peer_python))
        print(f"-- {benchmark.name}: {benchmark.script} {' '.join(given)}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(HERE / benchmark.script), *given], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            return False
        printed.write_text(f"{heading(options)}\n\n{tables(done.stdout)}\n")
    text = printed.read_text().strip()
    if benchmark.plot is not None:
        plot = benchmark.plot
        picture = PAGE.parent / f"performance-{benchmark.name}.svg"
        picture.write_text(bars(plot.title, rows_of(text, plot.group, plot.bar, plot.column)))
        text += f"\n\n![{plot.title}]({picture.name})"
    PAGE.write_text(placed(PAGE.read_text(), benchmark.name, text))
    return True


def heading(options: argparse.Namespace) -> str:
    """Where and with what it was measured."""
    here = machine()
    ours = package_versions(sys.executable)
    packages = [f"{name} {version}" for name, version in ours.items() if name != "python"]
    if options.peer_python:
        theirs = package_versions(str(options.peer_python))
        packages += [f"{name} {theirs[name]} (theirs)" for name in ("nemo-curator", "cosmos-xenna") if name in theirs]
    cores = f"{here['cores']} cores, {here['memory_gib']} GiB"
    text = f"Measured on {here['date']}: {here['cpu']}, {cores}; Python {ours['python']}, {', '.join(packages)}."
    return textwrap.fill(text, 119, break_on_hyphens=False)


def tables(printed: str) -> str:
    """Of what a benchmark has printed, the tables."""
    blocks = re.findall(r"(?m)(?:^\|.*\n?)+", printed)
    return "\n".join(blocks).strip()


def placed(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of a benchmark."""
    marks = re.compile(rf"(?s)(<!-- bench:{re.escape(name)} -->\n).*?(<!-- end -->)")
    if not marks.search(page):
        raise SystemExit(f"{PAGE} has no section with <!-- bench:{name} --> and <!-- end -->")
    return marks.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


if __name__ == "__main__":
    main()
