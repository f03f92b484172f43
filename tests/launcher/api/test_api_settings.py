"""Overrides in Python's types, as the `--set` options that mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator_slurm.launcher.api.settings import set_options
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.spec.overrides import Override, parse_override
from curator_slurm.launcher.states import RunState


def test_dotted_and_nested_keys() -> None:
    nested = {"resources": {"nodes": 8, "sbatch": {"qos": "high"}}, "executor.backend": "xenna"}
    assert set_options(nested) == ["resources.nodes=8", "resources.sbatch.qos=high", "executor.backend=xenna"]
    assert set_options({"input.paths": {0: "a"}}) == ["input.paths.0=a"]
    assert set_options(None) == set_options({}) == []


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (8, 8),
        (1e-05, 1e-05),
        (True, True),
        (None, None),
        ("8", "8"),
        ("yes", "yes"),
        ("1:00:00", "1:00:00"),
        ("", ""),
        (" a = b # c ", " a = b # c "),
        ("two\nlines\n", "two\nlines\n"),
        ("x" * 500 + " " + "y" * 500, "x" * 500 + " " + "y" * 500),
        ("grüße 日本", "grüße 日本"),
        ([1, "2", {"a": None}], [1, "2", {"a": None}]),
        (("a", Path("/b")), ["a", "/b"]),
        ({}, {}),
        (RunState.FAILED, "failed"),
    ],
)
def test_values_arrive_with_their_type(value: Any, read: Any) -> None:
    (option,) = set_options({"pipeline.args.x": value})
    assert "\n" not in option
    override = parse_override(option)
    assert isinstance(override, Override)
    assert (override.path, override.value.value) == (("pipeline", "args", "x"), read)
    assert type(override.value.value) is type(read)


@pytest.mark.parametrize("overrides", [{"a=b": 1}, {None: 1}, {"resources.nodes": object()}, {"x": [{1, object}]}])
def test_what_no_spec_can_hold_is_an_error(overrides: dict[Any, Any]) -> None:
    with pytest.raises(UsageError, match="overrides: "):
        set_options(overrides)
