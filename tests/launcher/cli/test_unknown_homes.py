"""Paths with `~`: a shell passes on those of users that it does not know."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from curator_slurm.launcher.cli import main

NOBODY = "~no-such-user/x"


@pytest.mark.parametrize(
    "arguments",
    [["status", NOBODY], ["list", "--runs-dir", NOBODY], ["site", "check", NOBODY]],
)
def test_a_user_that_there_is_not(arguments: list[str]) -> None:
    refused(arguments, {})


@pytest.mark.parametrize("name", ["CURATOR_SLURM_RUNS", "CURATOR_SLURM_SITE"])
def test_a_variable_with_one(name: str, tmp_path: str) -> None:
    refused(["list"] if name.endswith("RUNS") else ["site", "show"], {name: NOBODY})


@pytest.mark.usefixtures("fake_slurm")
def test_a_folder_for_probes() -> None:
    refused(["site", "init", "--output", "-", "--probe", "--folder", NOBODY], {})


def refused(arguments: list[str], environ: dict[str, str]) -> None:
    result = CliRunner(env=environ).invoke(main, arguments)
    assert (result.exit_code, NOBODY in result.output) == (2, True), result.output
    assert "unknown user" in result.output
