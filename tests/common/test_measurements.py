"""The lines of metrics.jsonl: short, without what is not known, and documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from curator_slurm.common.measurements import NodeSample, StageSample, StoreSample, line_of

PAGE = (Path(__file__).parents[2] / "docs" / "measurements.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [NodeSample, StageSample, StoreSample])
def test_every_field_is_documented(kind: type) -> None:
    named = {name for row in re.findall(r"(?m)^\| (`.*?) \|", PAGE) for name in re.findall(r"`(\w+)`", row)}
    assert {each.name for each in fields(kind)} <= named


def test_lines_have_no_more_digits_than_they_deserve() -> None:
    sample = NodeSample(time=1796025398.123456, node="n1", seconds=2.0000004, gpus=(0.333333,), net_in=12345678.9)
    assert line_of(sample) == {
        "time": 1796025398.12, "node": "n1", "seconds": 2.0, "gpus": [0.333], "net_in": 12345679.0,
    }  # fmt: skip
