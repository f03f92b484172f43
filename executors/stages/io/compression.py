"""Compressed bytes: what files are compressed with, by their names or first bytes, and back."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

COMPRESSIONS = {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz", "lz4": ".lz4"}
"""Name of a compression -> its suffix."""
_SUFFIXES = {**{suffix: name for name, suffix in COMPRESSIONS.items()}, ".zstd": "zstd", ".gzip": "gzip"}
_FIRST_BYTES = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
_APPENDED = "behind its last whole part is something else: the file is damaged, or something was appended to it"
_BZIP2_BLOCK = b"1AY&SY"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""Of a frame that holds something else than content, behind a byte from 0x50 to 0x5f: `pzstd` writes such."""
_ZSTD_MAX_WINDOW = 1 << 31
"""The largest window of `zstd --long`; without a word zstandard takes 2^27."""


def split_compression(name: str) -> tuple[str, str | None]:
    """A file name without the suffix of its compression, and the compression's name, None where there is none."""
    stem, dot, last = name.rpartition(".")
    compression = _SUFFIXES.get(f".{last.lower()}") if dot else None
    return (stem, compression) if compression else (name, None)


def compression_of(content: bytes) -> str | None:
    """The compression that a content begins with; no text begins so."""
    if content[:3] == b"BZh" and content[4:10] == _BZIP2_BLOCK:
        return "bz2"
    return next((name for first, name in _FIRST_BYTES.items() if content.startswith(first)), None)


def decompress(content: bytes, compression: str) -> bytes:
    """All members or frames of a compressed content.

    Raises:
        ValueError: it is damaged, or not compressed in this way. Or OSError, EOFError.
    """
    functions: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "zstd": _decompress_zstd,
        "bz2": lambda whole: _decompress_streams(whole, bz2.BZ2Decompressor),
        "xz": lambda whole: _decompress_streams(whole, lzma.LZMADecompressor),
        "lz4": _decompress_lz4,
    }
    try:
        return functions[compression](content)
    except gzip.BadGzipFile as error:
        if compression_of(content) == "gzip" and "Not a gzipped file" in str(error):
            raise ValueError(f"{_APPENDED} ({error})") from error
        raise
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(str(error)) from error


def _decompress_streams(content: bytes, new: Callable[[], Any]) -> bytes:
    """All streams of a bzip2 or xz file; their modules' functions pass over all that follows a damaged header."""
    parts: list[bytes] = []
    while content or not parts:
        stream = new()
        try:
            parts.append(stream.decompress(content))
        except (OSError, lzma.LZMAError) as error:
            raise ValueError(f"{_APPENDED} ({error})" if parts else str(error)) from error
        if not stream.eof:
            raise ValueError("the file is truncated")
        content = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _decompress_zstd(content: bytes) -> bytes:
    """All frames of a file; the stream reader of zstandard would take a truncated file for a complete one."""
    import zstandard

    parts = []
    while content:
        if content[1:4] == _ZSTD_SKIPPABLE and content[0] & 0xF0 == 0x50:
            content = content[8 + int.from_bytes(content[4:8], "little") :]
            continue
        frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW).decompressobj()
        try:
            parts.append(frame.decompress(content))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if not frame.eof:
            raise ValueError("the file is truncated")
        content = frame.unused_data
    return b"".join(parts)


def _decompress_lz4(content: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(content), "lz4") as stream:
        return bytes(stream.read())


@contextlib.contextmanager
def compressed(sink: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    """A sink that compresses into another; the same input gives the same bytes, whenever it is written."""
    if compression is None:
        yield sink
        return
    stream: Any
    if compression == "gzip":
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0, compresslevel=6)
    elif compression == "zstd":
        import zstandard

        stream = zstandard.ZstdCompressor().stream_writer(sink, closefd=False)
    elif compression == "bz2":
        stream = bz2.BZ2File(sink, "wb")
    elif compression == "lz4":
        import pyarrow as pa

        stream = io.BufferedWriter(pa.CompressedOutputStream(pa.PythonFile(_Kept(sink), "w"), "lz4"))
    else:
        stream = lzma.LZMAFile(sink, "wb")  # noqa: SIM115
    with stream:
        yield stream


class _Kept:
    """A sink that stays open when a stream around it is closed."""

    closed = False

    def __init__(self, sink: IO[bytes]) -> None:
        self.write, self.flush = sink.write, sink.flush

    def close(self) -> None:
        """Leave the sink open."""
