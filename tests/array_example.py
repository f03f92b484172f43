"""The worked example of sharded runs for tests: a copy of it with its input, and what its dataset must be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

EXAMPLE = Path(__file__).parents[1] / "examples" / "array"


def check_dataset(folder: Path, documents: int, shards: int) -> None:
    """All shards, every row of the Parquet files accounted for."""
    summary = json.loads((folder / "_dataset.json").read_text())
    files = [json.loads(line) for line in (folder / "_files.jsonl").read_text().splitlines()]
    assert summary["complete"]
    assert summary["shards"] == {"total": shards, "published": shards, "missing": ""}
    assert summary["input_files"] == 48
    rows = [pq.read_metadata(folder / file["path"]).num_rows for file in files]
    assert rows == [file["rows"] for file in files]
    assert summary["rows"] == sum(rows)
    assert documents / 2 < summary["rows"] <= documents
    assert {file["shards"] for file in files} == {str(shard) for shard in range(shards)}


def copy_of_example(folder: Path) -> int:
    """The example with its input in `folder`; the number of documents."""
    for name in ("spec.yaml", "array_pipeline.py", "make_input.py"):
        (folder / name).write_bytes((EXAMPLE / name).read_bytes())
        (folder / name).chmod(0o644)
    done = subprocess.run(
        [sys.executable, folder / "make_input.py"], capture_output=True, text=True, check=True, timeout=120
    )
    for path in (folder / "data").rglob("*"):
        path.chmod(0o644)
    (folder / "data").chmod(0o755)
    return int(done.stdout.split()[0])
