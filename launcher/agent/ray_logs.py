"""Ray's session logs of a node, packed into the run directory."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import zstandard

from curator_slurm.common.atomic_files import stream_atomic

_SKIP_OVER = 200 * (1 << 20)
"""Bytes of one log file of which more than this is cut: the end is what tells why something died."""


def collect_ray_logs(ray_dir: Path, target: Path) -> int:
    """Pack `<ray_dir>/session_latest/logs` as a zstd-compressed tar; the number of files packed.

    The file appears whole or not at all. Logs that vanish or grow meanwhile are taken as they are found.
    """
    logs = ray_dir / "session_latest" / "logs"
    if not logs.is_dir():
        return 0
    count = 0
    with (
        stream_atomic(target, mode=0o600, durable=False) as stream,
        zstandard.ZstdCompressor(level=3).stream_writer(stream, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for path in sorted(logs.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            try:
                content = _tail(path)
            except OSError:
                continue
            member = tarfile.TarInfo(str(path.relative_to(logs)))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            count += 1
    return count


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = path.stat().st_size
        if size > _SKIP_OVER:
            stream.seek(size - _SKIP_OVER)
        return stream.read(_SKIP_OVER)
