"""A command ends at once when it has said everything, and as Python does where something is left to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_PROGRAM = """
import atexit, sys, threading
from curator_slurm.launcher.cli import main
atexit.register(lambda: print("taken apart", file=sys.stderr))
{more}
sys.argv = ["curator-slurm", {arguments}]
main()
"""


def command(*arguments: str, more: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    program = _PROGRAM.format(more=more, arguments=", ".join(map(repr, arguments)))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment, check=False
    )


def test_all_that_was_printed_arrives() -> None:
    ended = command("schema")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["title"] == "curator-slurm spec"
    assert ended.stdout.endswith("}\n")


@pytest.mark.parametrize(("arguments", "code"), [(("--version",), 0), (("nosuch",), 2), (("validate", "nosuch"), 2)])
def test_the_exit_code_is_that_of_the_command(arguments: tuple[str, ...], code: int) -> None:
    ended = command(*arguments)
    assert ended.returncode == code
    assert "taken apart" not in ended.stderr


@pytest.mark.parametrize(
    ("more", "environment"),
    [
        ("", {"CURATOR_SLURM_DEBUG": "1"}),
        ("thread = threading.Timer(0.3, print, ['from a thread']); thread.start()", {}),
    ],
)
def test_python_ends_it_where_something_is_left(more: str, environment: dict[str, str]) -> None:
    ended = command("--version", more=more, **environment)
    assert ended.returncode == 0
    assert "taken apart" in ended.stderr
    assert ("from a thread" in ended.stdout) == (not environment)
