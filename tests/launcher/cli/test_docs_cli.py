"""docs/cli.md knows every verb and every option of the verbs that run things."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from curator_slurm.launcher.cli import VERBS, main
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import RunState

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "cli.md").read_text()


@pytest.mark.parametrize("verb", [verb for verbs in VERBS.values() for verb in verbs])
def test_every_verb_is_documented(verb: str) -> None:
    assert f"`{verb}`" in TEXT


@pytest.mark.parametrize("verb", ["submit", "run", "status", "watch", "logs", "list", "cancel", "retry", "collect"])
def test_every_option_is_documented(verb: str) -> None:
    section = TEXT.split(f"\n## {verb}\n")[1].split("\n## ")[0]
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert any(name in section for name in option.opts), option.opts


def test_every_state_and_failure_class_is_documented() -> None:
    text = (DOCS / "failures.md").read_text()
    for value in [*RunState, *FailureClass]:
        assert f"| `{value}` |" in text
