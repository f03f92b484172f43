"""Ray's logs of a node are kept in one file."""

from __future__ import annotations

import tarfile
from pathlib import Path

import zstandard

from curator_slurm.launcher.agent.ray_logs import collect_ray_logs


def test_the_logs_of_the_session_are_packed(tmp_path: Path) -> None:
    logs = tmp_path / "ray" / "session_latest" / "logs"
    (logs / "old").mkdir(parents=True)
    (logs / "raylet.out").write_text("started\n")
    (logs / "old" / "worker.err").write_text("died\n")
    (logs / "link").symlink_to("raylet.out")
    target = tmp_path / "ray.tar.zst"
    assert collect_ray_logs(tmp_path / "ray", target) == 2
    with (
        target.open("rb") as stream,
        zstandard.ZstdDecompressor().stream_reader(stream) as packed,
        tarfile.open(fileobj=packed, mode="r|") as archive,
    ):
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == {"raylet.out": b"started\n", "old/worker.err": b"died\n"}


def test_a_node_whose_ray_has_not_started_has_none(tmp_path: Path) -> None:
    assert collect_ray_logs(tmp_path / "ray", tmp_path / "ray.tar.zst") == 0
    assert not (tmp_path / "ray.tar.zst").exists()
