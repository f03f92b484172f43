"""Blocks of Ray Data: whole batches, not too many, not too large."""

from __future__ import annotations

from curator_slurm.executors.backends.ray_data.operators import block_count
from curator_slurm.executors.backends.ray_data.worker_process import slice_rows


def test_tiny_tasks_share_blocks_and_large_ones_do_not_make_large_blocks() -> None:
    assert block_count(2000, 1, cpus=2) == 16
    assert block_count(10, 1, cpus=2) == 10
    assert block_count(2000, 1, cpus=100) == 800
    assert block_count(10_000, 1, cpus=2, nbytes=10_000 << 20) == 156


def test_a_worker_takes_whole_batches_of_a_block_as_long_as_they_are_small() -> None:
    assert slice_rows(rows=100, nbytes=2000, batch_size=32) % 32 == 0
    assert slice_rows(rows=100, nbytes=2000, batch_size=32) >= 100
    assert slice_rows(rows=64, nbytes=64 << 20, batch_size=32) == 32
    assert slice_rows(rows=64, nbytes=64 << 20, batch_size=2) == 8
    assert slice_rows(rows=0, nbytes=0, batch_size=1) >= 1
