"""What sharded runs cost on the login node: time, memory and Slurm commands of each verb, and how they grow.

    python benchmarks/shards.py                              100, 1,000 and 10,000 shards of 100 files each
    python benchmarks/shards.py --part plan                  only the plan, of 100 files to 1,000,000
    python benchmarks/shards.py --sizes 100 --json out.json

Every verb runs as a process of its own, with the fake Slurm of the tests, whose own time is told apart: it is a
Python program that keeps its state in files, and slower than a real controller. Sizes of the input files are given in
a manifest, outputs are one small file per shard.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fake_slurm import FakeSlurm  # noqa: E402
from fake_slurm.handle import environment  # noqa: E402

from curator_slurm.launcher.runs.manifest import read_manifest  # noqa: E402
from curator_slurm.launcher.runs.paths import RunPaths  # noqa: E402
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord, OutputFile  # noqa: E402

SIZES = (100, 1000, 10000)
FILES_PER_SHARD = 100
LARGEST_FOLDER = 100_000
"""More files than this are not made."""
FAILED = 100
"""Of so many shards, one fails before the retry."""

_TIMED = """#!/bin/sh
begin=$(date +%s%N)
'{real}' "$@"
code=$?
echo $(($(date +%s%N) - begin)) >>'{log}'
exit $code
"""


@dataclass(frozen=True)
class Row:
    """One verb at one size."""

    shards: int
    files: int
    verb: str
    seconds: float
    of_slurm: float
    mebibytes: float
    commands: int
    cpu: float = 0.0
    """Seconds of processor time: what the machine does besides does not change it much."""


class Lab:
    """A folder with a fake Slurm, a spec, and the runs of one size."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.folder, self.shards, self.files = folder, shards, shards * FILES_PER_SHARD
        self.fake = FakeSlurm(folder / "slurm")
        self.fake.pause()
        self.times = folder / "slurm-times"
        self.times.touch()
        for command in ("sbatch", "squeue", "scontrol", "scancel"):
            path = self.fake.bin / command
            real = path.rename(path.with_name(f"real-{command}"))
            path.write_text(_TIMED.format(real=real, log=self.times))
            path.chmod(0o755)
        self.environment = environment(self.fake, dict(os.environ)) | {
            "CURATOR_SLURM_RUNS": str(folder / "runs"),
            "HOME": str(folder),
        }
        self.write_input()

    def write_input(self) -> None:
        """A spec, and a manifest of files with sizes that differ as real ones do."""
        with (self.folder / "files.jsonl").open("w") as stream:
            for number in range(self.files):
                size = 1_000_000 + number * 7919 % 9_000_000
                stream.write(
                    f'{{"path": "s3://bucket/corpus/{number // 1000:05d}/{number:08d}.jsonl", "bytes": {size}}}\n'
                )
        spec = {
            "name": "bench",
            "pipeline": {"command": "true"},
            "input": {"manifest": str(self.folder / "files.jsonl")},
            "shards": {"count": self.shards, "max_running": 100},
            "output": {"path": str(self.folder / "out")},
        }
        (self.folder / "spec.yaml").write_text(json.dumps(spec))

    def measure(self, verb: str, *arguments: str, expect: int = 0) -> Row:
        """Run a verb as a process of its own."""
        commands, slept = len(self.fake.calls), sum(map(int, self.times.read_text().split()))
        log = self.folder / f"{verb.replace(' ', '-')}.log"
        command = [Path(sys.prefix) / "bin" / "curator-slurm", *arguments]
        with log.open("wb") as stream:
            began = time.monotonic()
            process = subprocess.Popen(command, env=self.environment, stdout=stream, stderr=stream)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expect:
            raise SystemExit(f"{verb} ended with {process.returncode}:\n{log.read_text()}")
        of_slurm = (sum(map(int, self.times.read_text().split())) - slept) / 1e9
        return Row(
            self.shards,
            self.files,
            verb,
            round(seconds, 2),
            round(of_slurm, 2),
            round(usage.ru_maxrss / 1024, 0),
            len(self.fake.calls) - commands,
            round(usage.ru_utime + usage.ru_stime, 2),
        )

    @property
    def run(self) -> RunPaths:
        [path] = (self.folder / "runs" / "bench").iterdir()
        return RunPaths(path)

    def finish(self, shards: Iterator[int] | range) -> None:
        """Outputs and done files of shards, as finished elements leave them; not synced, which is their time."""
        wanted = set(shards)
        self.run.outputs.mkdir(exist_ok=True)
        for shard in read_manifest(self.run.manifest):
            if shard.index not in wanted:
                continue
            folder = self.run.shard_outputs(shard.index)
            folder.mkdir()
            (folder / "part.jsonl").write_bytes(b'{"text": "x"}\n')
            record = DoneRecord(
                run_id=self.run.run_id,
                shard=shard.index,
                attempt=f"1_{shard.index}.0",
                started=time.time() - 60,
                published=time.time(),
                input_files=len(shard.files),
                input_bytes=shard.bytes,
                files=(OutputFile("part.jsonl", 14, 1),),
            )
            text = json.dumps(record.to_json())
            (folder / MARKER).write_text(text)
            self.run.done(shard.index).write_text(text)

    def fail(self, shards: range) -> None:
        """What failed attempts leave."""
        outcome = {"schema": 1, "state": "failed", "failure_class": "out_of_memory", "message": "killed"}
        places = {}
        for path in sorted(self.run.submissions.iterdir()):
            job_id = json.loads((path / "submission.json").read_text())["job_id"]
            for line in map(json.loads, (path / "elements.jsonl").read_text().splitlines()):
                places.update(dict.fromkeys(line["shards"], f"{job_id}_{line['element']}"))
        for shard in shards:
            folder = self.run.attempts / f"{shard:05d}" / f"{places[shard]}.0"
            folder.mkdir(parents=True)
            (folder / "outcome.json").write_text(json.dumps(outcome))


def measure(shards: int) -> Iterator[Row]:
    """All verbs at one size."""
    with tempfile.TemporaryDirectory(prefix="shards-bench-") as name:
        lab = Lab(Path(name), shards)
        try:
            spec = str(lab.folder / "spec.yaml")
            yield lab.measure("plan", "submit", spec, "--dry-run")
            yield lab.measure("submit", "submit", spec)
            lab.fake.close()  # nothing runs any more: the jobs stay as they are
            yield lab.measure("status, all pending", "status", "bench")
            failed = range(0, shards, FAILED)
            lab.finish(shard for shard in range(shards) if shard % FAILED)
            lab.fail(failed)
            for job in lab.fake.jobs:
                lab.fake.set_state(job.id, "FAILED")
            yield lab.measure("status, 1% failed", "status", "bench", expect=7)
            yield lab.measure("retry", "retry", "bench")
            lab.fake.close()
            lab.finish(failed)
            yield lab.measure("status, all done", "status", "bench")
            yield lab.measure("collect", "collect", "bench")
        finally:
            lab.fake.close()


def measure_plan(shards: int) -> Iterator[Row]:
    """From a list with sizes, and from a folder, to a manifest that is written; files of a folder are looked at."""
    with tempfile.TemporaryDirectory(prefix="shards-bench-") as name:
        lab = Lab(Path(name), shards)
        try:
            spec, saved = str(lab.folder / "spec.yaml"), str(lab.folder / "manifest.jsonl")
            for order in ("size", "name"):
                options = ["--set", f"shards.order={order}", "--output", saved]
                yield lab.measure(f"of a list, by {order}", "plan", spec, *options)
            if lab.files <= LARGEST_FOLDER:
                for number in range(lab.files):
                    path = lab.folder / "data" / f"{number // 1000:05d}" / f"{number:08d}.jsonl"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x" * (1 + number * 7919 % 97))
                options = ["--set", f"input={{paths: {lab.folder}/data}}", "--output", saved]
                yield lab.measure("of a folder, by size", "plan", spec, *options)
        finally:
            lab.fake.close()


def show_verbs(sizes: Sequence[int]) -> Iterator[Row]:
    """All verbs at all sizes, as a table."""
    print("| shards | files | verb | seconds | of these in Slurm | MiB | Slurm commands |")
    print("|---|---|---|---|---|---|---|")
    for shards in sizes:
        for row in measure(shards):
            yield row
            print(
                f"| {row.shards:,} | {row.files:,} | {row.verb} | {row.seconds:.2f} | {row.of_slurm:.2f} "
                f"| {row.mebibytes:.0f} | {row.commands} |",
                flush=True,
            )


def show_plan(sizes: Sequence[int]) -> Iterator[Row]:
    """Plans of all sizes, as a table."""
    print("| shards | files | plan | seconds | CPU seconds | files per CPU second | MiB |")
    print("|---|---|---|---|---|---|---|")
    for shards in sizes:
        for row in measure_plan(shards):
            yield row
            rate, times = row.files / row.cpu, f"{row.seconds:.2f} | {row.cpu:.2f}"
            cells = f"{row.shards:,} | {row.files:,} | {row.verb} | {times} | {rate:,.0f} | {row.mebibytes:.0f}"
            print(f"| {cells} |", flush=True)


PARTS = {"verbs": (show_verbs, SIZES), "plan": (show_plan, (1, 10, 100, 1000, 10000))}
"""Part -> what measures and prints it, and its numbers of shards."""


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default="verbs")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of shards")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    options = parser.parse_args()
    show, sizes = PARTS[options.part]
    rows: list[dict[str, Any]] = [asdict(row) for row in show(options.sizes or sizes)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
