"""What the command line takes to start: time of each command beside that of `python -c "import click"`.

    .venv/bin/python benchmarks/command_line.py                      # half a minute
    .venv/bin/python benchmarks/command_line.py --repeats 41 --json out.json

Each command is a process of its own. They take turns, so that what else the machine does hits all of them, and the
figure is the median of the ratios to the `import click` of the same turn. Slurm answers from a file: its time is not
ours. `validate` looks at a pipeline in a second process of the job's Python, which imports what the pipeline needs:
that is measured apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fake_slurm import FakeSlurm  # noqa: E402
from fake_slurm.handle import environment  # noqa: E402

BASE = 'python -c "import click"'
SPEC = """\
name: bench
pipeline: {command: "true"}
input: {paths: [data]}
output: {path: out}
resources: {nodes: 2, time: "1:00:00"}
"""
STAGES = """\
name: stages
pipeline:
  stages:
    - use: curator_slurm.executors.stages:JsonlReader
      with: {file_paths: "${input.files}"}
    - use: curator_slurm.executors.stages:JsonlWriter
      with: {path: "${output_dir}"}
input: {paths: [data]}
"""


RECORD = """#!/bin/sh
'{real}' "$@" | tee '{answer}'
"""
REPEAT = """#!/bin/sh
while IFS= read -r line; do echo "$line"; done <'{answer}'
"""


@dataclass(frozen=True)
class Command:
    """Something to measure, and what it may take of the time of `import click`."""

    name: str
    arguments: tuple[str, ...]
    at_most: float | None = None
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Figure:
    """Medians of one command."""

    command: str
    seconds: float
    ratio: float
    processor_ratio: float
    at_most: float | None
    mebibytes: float


def completing(*words: str) -> tuple[tuple[str, str], ...]:
    """The environment in which a shell asks for completion of the last word."""
    return (
        ("_CURATOR_SLURM_COMPLETE", "bash_complete"),
        ("COMP_WORDS", " ".join(("curator-slurm", *words))),
        ("COMP_CWORD", str(len(words))),
    )


def commands() -> list[Command]:
    """What is measured; the program is this environment's curator-slurm unless it is named."""
    ours = str(Path(sys.prefix) / "bin" / "curator-slurm")
    return [
        Command(BASE, (sys.executable, "-c", "import click")),
        Command("--help", (ours, "--help"), 1.5),
        Command("completion of a command", (ours,), 1.5, completing("sta")),
        Command("completion of an option", (ours,), 1.5, completing("submit", "--no")),
        Command("completion of a run", (ours,), 1.5, completing("status", "be")),
        Command("status --help", (ours, "status", "--help")),
        Command("validate", (ours, "validate", "spec.yaml", "--cluster", "slurm"), 4),
        Command("validate, with its stages", (ours, "validate", "stages.yaml", "--cluster", "slurm")),
        Command("render", (ours, "render", "spec.yaml", "--cluster", "slurm"), 4),
        Command("status of one run", (ours, "status", "bench"), 4),
        Command("list", (ours, "list")),
    ]


class Lab:
    """A folder with specs, one run, and commands of Slurm that repeat what the fake Slurm has answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        fake = FakeSlurm(folder / "slurm")
        fake.pause()
        self.environment = environment(fake, dict(os.environ)) | {
            "CURATOR_SLURM_RUNS": str(folder / "runs"),
            "HOME": str(folder),
        }
        (folder / "data").mkdir()
        (folder / "data" / "a.jsonl").write_text('{"text": "x"}\n')
        (folder / "spec.yaml").write_text(SPEC)
        (folder / "stages.yaml").write_text(STAGES)
        try:
            self.run(Command("submit", (commands()[1].arguments[0], "submit", "spec.yaml")))
            self.script(fake, RECORD)
            self.run(next(command for command in commands() if command.name == "status of one run"))
            self.script(fake, REPEAT)
        finally:
            fake.close()

    def script(self, fake: FakeSlurm, text: str) -> None:
        """Put a shell script in the place of the commands that `status` asks."""
        for name in ("squeue", "sacct"):
            path, real = fake.bin / name, fake.bin / f"real-{name}"
            if not real.exists():
                path.rename(real)
            answer = self.folder / name
            answer.touch()
            path.write_text(text.format(real=real, answer=answer))
            path.chmod(0o755)

    def run(self, command: Command) -> tuple[float, float, float]:
        """Seconds, seconds of processor time and mebibytes of one command."""
        variables = self.environment | dict(command.variables)
        began = time.perf_counter()
        process = subprocess.Popen(
            command.arguments, cwd=self.folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command.name} ended with {process.returncode}:\n{output.decode()}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(repeats: int) -> list[Figure]:
    """All commands, `repeats` times in turn."""
    measured: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="command-line-bench-") as name:
        lab = Lab(Path(name))
        for turn in range(repeats + 1):
            for command in commands():
                found = lab.run(command)
                if turn:  # the first one compiles modules
                    measured.setdefault(command.name, []).append(found)
    base = measured[BASE]
    figures = []
    for command in commands():
        found = measured[command.name]
        ratios = [mine[0] / floor[0] for mine, floor in zip(found, base, strict=True)]
        figures.append(
            Figure(
                command.name,
                round(statistics.median(one[0] for one in found), 4),
                round(statistics.median(ratios), 2),
                round(statistics.median(one[1] for one in found) / statistics.median(one[1] for one in base), 2),
                command.at_most,
                round(statistics.median(one[2] for one in found), 1),
            )
        )
    return figures


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table of Markdown."""
    lines = [
        "| command | ms | ratio to `import click` | of processor time | target | MiB |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        target = f"{one.at_most:g}" if one.at_most else ""
        cells = f"{one.seconds * 1000:.0f} | {one.ratio:.2f} | {one.processor_ratio:.2f} | {target} | {one.mebibytes}"
        lines.append(f"| {one.command} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21, help="turns (default: 21)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    figures = measure(options.repeats)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


if __name__ == "__main__":
    main()
