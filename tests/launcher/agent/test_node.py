"""What a node decides by itself: the family of its address, and the memory that is Ray's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curator_slurm.launcher.agent import node as node_module
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.ray_process import RayNode
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.plan.local_disk import LocalDisk

MIB = 1 << 20


def node_with(memory: int = 3000 * MIB) -> tuple[Node, list[dict[str, Any]]]:
    """A node of a run without site files, and what it reports."""
    reports: list[dict[str, Any]] = []
    context = SimpleNamespace(
        allocation=SimpleNamespace(node_name="n7", local=False, memory=memory),
        plan=SimpleNamespace(
            site=None,
            spec=SimpleNamespace(
                network=SimpleNamespace(interface=["ib0"]), storage=SimpleNamespace(node_local="/tmp")
            ),
        ),
        status=SimpleNamespace(state="ready"),
        report=lambda state, **more: reports.append({"state": state, **more}),
    )
    return Node(context), reports  # type: ignore[arg-type]


def test_a_worker_follows_the_family_of_the_heads_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def address(name: str, wanted: object, *, local: bool, head: str | None) -> str:
        asked.append(head)
        return "fd00::7"

    monkeypatch.setattr(node_module, "node_address", address)
    node, reports = node_with()
    node.address = "10.0.0.7"
    node._follow_family("10.0.0.1")
    assert (node.address, asked, reports) == ("10.0.0.7", [], [])
    node._follow_family("fd00::1")
    assert (node.address, asked) == ("fd00::7", ["fd00::1"])
    assert reports == [{"state": "ready", "address": "fd00::7"}]


def test_memory_for_files_is_not_rays() -> None:
    node, _ = node_with()
    assert node._memory_for_ray() == 3000 * MIB
    node.disk = LocalDisk(size=400 * MIB)
    assert node._memory_for_ray() == 3000 * MIB
    node.disk = LocalDisk(is_memory=True, size=400 * MIB)
    assert node._memory_for_ray() == 2600 * MIB
    node.disk = LocalDisk(is_memory=True, size=2900 * MIB)
    with pytest.raises(BootstrapError, match=r"3000 MB on n7, and 2900 MB of them are kept for files in memory"):
        node._memory_for_ray()


def test_without_a_site_little_memory_is_no_reason_to_refuse() -> None:
    node, _ = node_with(100 * MIB)
    assert node._memory_for_ray() == 100 * MIB


@pytest.mark.parametrize(("is_head", "left"), [(True, []), (False, ["n2"])])
def test_the_head_removes_what_lost_nodes_have_spilled(tmp_path: Path, is_head: bool, left: list[str]) -> None:
    for name in ("n1", "n2"):
        (tmp_path / name / "spill").mkdir(parents=True)
    node, _ = node_with()
    node.context.cluster = SimpleNamespace(nodes=tmp_path)  # type: ignore[assignment]
    node.context.node = SimpleNamespace(spill=tmp_path / "n1" / "spill")  # type: ignore[misc,assignment]
    node.context.allocation.is_head = is_head  # type: ignore[misc]
    node._remove_session()
    assert len(list(tmp_path.glob("*/spill"))) == 2, "without memory as a folder there is none of ours"
    node._others_spill = is_head  # nodes of another group do
    node.disk = LocalDisk(is_memory=not is_head)
    node._remove_session()
    assert [path.parent.name for path in tmp_path.glob("*/spill")] == left


@pytest.mark.parametrize(("expected", "is_encrypted"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_ray_that_waits_is_started_anew_where_the_head_has_decided_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: bool, is_encrypted: bool
) -> None:
    """Ray reads whether it is to use TLS when it is imported."""
    done: list[str] = []
    ray = RayNode("10.0.0.7", PortBlock(20000, 20099), str(tmp_path), 1, 0, 1, 1)
    node, _ = node_with()
    node.session_dir = tmp_path

    def ready(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            node=ray,
            pid=1,
            stop=lambda grace: done.append(f"stop {name}"),
            begin=lambda *_: done.append(f"begin {name}"),
        )

    def make_ready(self: Node) -> None:
        self._expected_tls = bool(self.context.encrypted)
        self._ready = ready("second")  # type: ignore[assignment]

    monkeypatch.setattr(Node, "_make_ready", make_ready)
    monkeypatch.setattr(Node, "_environment_for", lambda self, ray: {})
    monkeypatch.setattr(node_module, "issue_certificate", lambda *_: done.append("certificate"))
    node.context.cluster = SimpleNamespace()  # type: ignore[assignment]
    node._expected_tls, node._ready = expected, ready("first")  # type: ignore[assignment]
    node.context.encrypted = is_encrypted
    node.address = "10.0.0.7"
    node.start_ray("10.0.0.1:20000")
    certificate = ["certificate"] if is_encrypted else []
    same, anew = ["begin first"], ["begin second"]
    assert done == ([*certificate, *same] if expected == is_encrypted else ["stop first", *certificate, *anew])
