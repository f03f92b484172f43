"""Ray's session logs of a node, packed into the run directory."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.atomic_files import stream_atomic

_MOST_BYTES = 64 * (1 << 20)
"""Of all logs of a node: a run that is over shall not wait for a gigabyte of them."""


def collect_ray_logs(ray_dir: Path, target: Path) -> int:
    """Pack `<ray_dir>/session_latest/logs` as a zstd-compressed tar; the number of files packed.

    Where the image of a run has no zstandard it is compressed by gzip, and its name ends in .gz.
    Of more than `_MOST_BYTES` the longest files are cut: what they end with is kept, and says how much is missing.
    The file appears whole or not at all. Logs that vanish or grow meanwhile are taken as they are found.
    """
    logs = ray_dir / "session_latest" / "logs"
    if not logs.is_dir():
        return 0
    count = 0
    try:
        import zstandard
    except ImportError:
        target = target.with_suffix(".gz")

        def compressed(stream: IO[bytes]) -> Any:
            return gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1)
    else:

        def compressed(stream: IO[bytes]) -> Any:
            return zstandard.ZstdCompressor(level=3).stream_writer(stream, closefd=False)

    with (
        stream_atomic(target, mode=0o600, durable=False) as stream,
        compressed(stream) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        sizes = dict(_sizes(logs))
        most = share(list(sizes.values()), _MOST_BYTES)
        for path in sorted(sizes):
            try:
                content = _tail(path, most)
            except OSError:
                continue
            member = tarfile.TarInfo(str(path.relative_to(logs)))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            count += 1
    return count


def share(sizes: Sequence[int], room: int) -> int:
    """The most that is kept of each file, so that all fit: small ones whole, and the same of every longer one."""
    left = sorted(sizes)
    for number, size in enumerate(left):
        fair = room // (len(left) - number)
        if size > fair:
            return fair
        room -= size
    return max(sizes, default=0)


def _sizes(logs: Path) -> Iterator[tuple[Path, int]]:
    for path in logs.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size


def _tail(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        missing = path.stat().st_size - most
        if missing <= 0:
            return stream.read(most)
        stream.seek(missing)
        return f"[{missing} bytes before this are left out]\n".encode() + stream.read(most)
