"""The Ray executors warn once, with a class of their own, and only when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from curator_slurm.executors import ExperimentalWarning, RayActorPoolExecutor, RayDataExecutor, base

EXECUTORS = [RayDataExecutor, RayActorPoolExecutor]
MAKE_TWICE = """
from curator_slurm.executors import *
from curator_slurm.executors import ExperimentalWarning, RayActorPoolExecutor, RayDataExecutor, XennaExecutor
import warnings
{filter}
for _ in range(2):
    for cls in (RayDataExecutor, RayActorPoolExecutor):
        cls({{}})
XennaExecutor
print("made")
"""


def warnings_of(filter_line: str, *options: str) -> list[str]:
    """Lines about warnings that a fresh process prints."""
    code = MAKE_TWICE.format(filter=filter_line)
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.endswith("made\n"), done.stderr
    return [line for line in done.stderr.splitlines() if "Warning" in line]


def test_each_warns_once_in_a_process() -> None:
    lines = warnings_of("")
    assert len(lines) == 2
    assert "ExperimentalWarning: RayDataExecutor is experimental" in lines[0]
    assert "ExperimentalWarning: RayActorPoolExecutor is experimental" in lines[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("filter_line", "options"),
    [
        ("warnings.simplefilter('ignore', ExperimentalWarning)", ()),
        ("", ("-W", "ignore:Ray:UserWarning")),
    ],
)
def test_it_can_be_filtered_by_class_and_from_outside(filter_line: str, options: tuple[str, ...]) -> None:
    assert warnings_of(filter_line, *options) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_points_at_the_line_that_made_the_executor(
    executor: type[RayDataExecutor | RayActorPoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_warned", set())
    with pytest.warns(ExperimentalWarning, match=executor.__name__) as caught:
        executor({})
    assert [warning.filename for warning in caught] == [__file__]
