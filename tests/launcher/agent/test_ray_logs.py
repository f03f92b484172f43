"""Ray's logs of a node are kept in one file."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import zstandard

from curator_slurm.launcher.agent import ray_logs
from curator_slurm.launcher.agent.ray_logs import collect_ray_logs


def contents(target: Path) -> dict[str, bytes]:
    """What a pack of logs holds."""
    with (
        target.open("rb") as stream,
        zstandard.ZstdDecompressor().stream_reader(stream) as packed,
        tarfile.open(fileobj=packed, mode="r|") as archive,
    ):
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_the_logs_of_the_session_are_packed(tmp_path: Path) -> None:
    logs = tmp_path / "ray" / "session_latest" / "logs"
    (logs / "old").mkdir(parents=True)
    (logs / "raylet.out").write_text("started\n")
    (logs / "old" / "worker.err").write_text("died\n")
    (logs / "link").symlink_to("raylet.out")
    target = tmp_path / "ray.tar.zst"
    assert collect_ray_logs(tmp_path / "ray", target) == 2
    assert contents(target) == {"raylet.out": b"started\n", "old/worker.err": b"died\n"}


def test_of_many_logs_the_longest_are_cut_to_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_logs, "_MOST_BYTES", 100)
    logs = tmp_path / "ray" / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "short.out").write_text("all of it\n")
    for name in ("a.err", "b.err"):
        (logs / name).write_text("x" * 900 + f"the end of {name}")
    target = tmp_path / "ray.tar.zst"
    assert collect_ray_logs(tmp_path / "ray", target) == 3
    found = contents(target)
    assert found["short.out"] == b"all of it\n"
    for name in ("a.err", "b.err"):
        assert found[name].startswith(b"[871 bytes before this are left out]\nx")
        assert found[name].endswith(f"the end of {name}".encode())


@pytest.mark.parametrize(
    ("sizes", "room", "most"), [([], 10, 0), ([3, 4], 10, 4), ([1, 9, 9], 10, 4), ([5, 5, 5], 3, 1), ([100], 10, 10)]
)
def test_files_share_the_room(sizes: list[int], room: int, most: int) -> None:
    assert ray_logs.share(sizes, room) == most
    assert sum(min(size, most) for size in sizes) <= room


def test_a_node_whose_ray_has_not_started_has_none(tmp_path: Path) -> None:
    assert collect_ray_logs(tmp_path / "ray", tmp_path / "ray.tar.zst") == 0
    assert not (tmp_path / "ray.tar.zst").exists()
