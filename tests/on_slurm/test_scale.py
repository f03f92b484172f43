"""`make scale`: as many small array elements as Slurm takes in several arrays."""

from __future__ import annotations

import time

import pytest

from on_slurm.copying import assert_once, copying, make_input, undisturbed
from on_slurm.runs import Runs

MAX_ARRAY_SIZE = 101
ELEMENTS = 300


@pytest.mark.scale
def test_300_elements(array_runs: Runs) -> None:
    make_input(array_runs.folder, ELEMENTS)
    spec = copying("scale", "*.jsonl", {"files_per_shard": 1}, mem_per_node="250M")
    wanted = undisturbed(array_runs, spec)
    began = time.monotonic()
    done = array_runs.run(spec)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.output
    run = array_runs.latest()
    assert_once(run, wanted)
    arrays = [path.read_text().splitlines() for path in sorted(run.glob("submissions/*/elements.jsonl"))]
    assert [len(array) for array in arrays] == [100, 100, 100]
    assert len(list(run.glob("elements/*.0"))) == ELEMENTS
    print(f"{ELEMENTS} elements in {len(arrays)} arrays: {seconds:.0f} s, {ELEMENTS / seconds:.1f} a second")
    array_runs.assert_nothing_left()
