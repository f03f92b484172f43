"""Sizes mean the same everywhere: Slurm's units, powers of 1024."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.common.sizes import format_size, parse_size

MEBI = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        (100, 100),
        (1e6, 10**6),
        ("1e6", 10**6),
        ("12B", 12),
        ("10K", 10240),
        ("512M", 512 * MEBI),
        ("512MB", 512 * MEBI),
        ("512MiB", 512 * MEBI),
        ("512mb", 512 * MEBI),
        ("2 MB", 2 * MEBI),
        (" 2g ", 2 << 30),
        ("1.5GiB", 3 << 29),
        (".5K", 512),
        ("1t", 1 << 40),
        ("2P", 2 << 50),
    ],
)
def test_sizes(text: str | float, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "many", "MB", "-1", "0", "0.1", 0, "1X", "1 000", "1e6e6", "inf", float("inf"), "١"]
)
def test_what_is_no_size(text: str | float) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_a_spec_a_shard_and_a_reader_agree() -> None:
    """The same text in `shards.bytes_per_shard`, `output.merge.target_size` and a reader's `blocksize`."""
    from curator_slurm.executors.stages.io import file_partitioning
    from curator_slurm.launcher.dataset import assemble
    from curator_slurm.launcher.sharding import plan_shards

    assert file_partitioning.parse_size is assemble.parse_size is plan_shards.parse_size is parse_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1536, "1.5 KiB"),
        (100 << 10, "100 KiB"),
        (6 << 30, "6.0 GiB"),
        (1 << 60, "1,024.0 PiB"),
    ],
)
def test_sizes_in_words(size: float, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 10**15))
def test_bytes_are_bytes(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == size
