"""Nodes on the live screen of `watch`, as wide as the terminal."""

from __future__ import annotations

import pytest

from curator_slurm.launcher.cli._node_lines import MOST_LINES, bar, node_lines, plain_bar
from curator_slurm.launcher.status.node_glances import NodeGlance

GIB = 1 << 30


def glance(node: str = "n1", cpus: float | None = 0.75, **more: object) -> NodeGlance:
    return NodeGlance(node=node, age_s=1.0, cpus=cpus, memory=2 * GIB, memory_share=0.25, shm=GIB, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "line"),
    [
        (99, "n1           CPU ██████    75%  GPU ████      50%  mem 2.0 GiB (25%)  shm 1.0 GiB"),
        (79, "n1           CPU ██████    75%  GPU ████      50%  mem 2.0 GiB (25%)"),
        (60, "n1           CPU ██████    75%  GPU ████      50%"),
        (39, "n1           CPU ██████    75%"),
    ],
)
def test_as_much_as_there_is_room_for(limit: int, line: str) -> None:
    [found] = node_lines([glance(gpus=0.5)], limit)
    assert (found, len(found) <= limit) == (line, True)


def test_of_many_nodes_the_ends_and_the_mean() -> None:
    nodes = [glance(f"n{number}", number / 20) for number in range(20)]
    lines = node_lines(nodes, 79, omitted=30)
    assert len(lines) <= MOST_LINES
    assert [line.split()[0] for line in lines[:4]] == ["n0", "n1", "n18", "n19"]
    assert lines[4] == "20 nodes (and 30 more), CPUs 47% on average; the least and the most busy"


def test_bars() -> None:
    assert [bar(value, 4) for value in (None, 0.0, 0.5, 0.99, 7.0)] == ["    ", "    ", "██  ", "████", "████"]
    assert bar(0.15625, 4) == "▋   "
    assert plain_bar(0.5, 4) == "##  "
    assert node_lines([glance()], 79, blocks=False)[0].isascii()
    assert node_lines([], 79) == []


def test_names_of_nodes_cannot_control_the_terminal() -> None:
    assert "\x1b" not in node_lines([glance("\x1b[2Jn")], 79)[0]
