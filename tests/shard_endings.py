"""What shards leave behind in tests: outputs and a done file, or a failure.

Hundreds of stand-ins for elements import this: it must stay free of what submits, which takes four times as long.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord, OutputFile


def publish(
    run: Run,
    shard: int,
    attempt: str = "4711_0.0",
    files: Mapping[str, bytes] | None = None,
    tasks_failed: int = 0,
    rows: int | None = 1,
) -> DoneRecord:
    """Outputs and done file of a shard, as a finished element leaves them."""
    files = {"part.jsonl": f'{{"shard": {shard}}}\n'.encode()} if files is None else files
    folder = run.paths.shard_outputs(shard)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    record = DoneRecord(
        run_id=run.run_id,
        shard=shard,
        attempt=attempt,
        started=time.time() - 5,
        published=time.time(),
        input_files=1,
        input_bytes=1000,
        files=tuple(OutputFile(name, len(content), rows) for name, content in sorted(files.items())),
        tasks_failed=tasks_failed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / MARKER, record.to_json())
    write_json(run.paths.done(shard), record.to_json())
    return record


def fail(run: Run, shard: int, attempt: str, failure: str, message: str = "it broke", **more: Any) -> None:
    """What an attempt that failed leaves."""
    folder = run.paths.attempts / f"{shard:05d}" / attempt
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driver.log").write_text(f"driver of shard {shard}\n{message}\n")
    state = "cancelled" if failure == "cancelled" else "failed"
    outcome = {"schema": 1, "state": state, "failure_class": failure, "message": message, "next_step": "", **more}
    write_json(folder / "outcome.json", outcome)
