"""Reads and writes sound files with soundfile, block by block: a file of any length takes the same memory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import file_stem
from curator_slurm.executors.tasks import content_id

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"}
"""Formats that are written, by their suffix, and how samples are encoded in them."""
BLOCK_S = 1.0
_UNKNOWN_SIZE = 0xFFFFFFFF
"""What a program writes that does not know yet how long the file will be."""
_OGG_HEADER, _LARGEST_OGG_PAGE = 27, 65_307


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """A sound file, to read.

    Raises:
        ValueError: it is no sound that can be decoded, is truncated, or has no samples; names the file.
    """
    import soundfile

    with storage.open_to_read(path) as raw:
        _check_whole(path, raw)
        try:
            with soundfile.SoundFile(raw) as sound:
                if sound.frames <= 0:
                    raise ValueError(f"{path} has no samples")
                yield sound
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} is not a sound that can be decoded: {error.error_string}") from error


def _check_whole(path: str, raw: Any) -> None:
    """Refuse a file that is shorter than its header says; libsndfile would take it for a short sound."""
    head = raw.read(12)
    size = raw.seek(0, io.SEEK_END)
    if not size:
        raise ValueError(f"{path} is empty")
    declared = _declared_size(head, raw, size)
    raw.seek(0)
    if size < declared:
        raise ValueError(f"{path} is truncated: it has {size} of {declared} bytes")


def _declared_size(head: bytes, raw: Any, size: int) -> int:
    """How long a RIFF or AIFF file says it is, and at least how long an Ogg file is by its last page; else 0."""
    if head[:4] in (b"RIFF", b"FORM") and len(head) == 12:
        declared = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big") + 8
        return declared if declared < _UNKNOWN_SIZE else 0
    if head[:4] == b"OggS":
        start = raw.seek(max(0, size - _LARGEST_OGG_PAGE))
        tail: bytes = raw.read()
        page = tail[(at := tail.rfind(b"OggS")) :]
        if at >= 0 and len(page) > _OGG_HEADER:
            segments = page[_OGG_HEADER - 1]
            lacing = page[_OGG_HEADER : _OGG_HEADER + segments]
            return int(start) + at + _OGG_HEADER + segments + sum(lacing)
        return size + (at >= 0)
    return 0


def blocks(path: str, sound: Any, start: int = 0, stop: int | None = None) -> Iterator[Samples]:
    """Samples from `start` to `stop` as arrays (samples, channels).

    Raises:
        ValueError: the file ends before, or a sample is no finite number.
    """
    import numpy as np

    left = (sound.frames if stop is None else min(stop, sound.frames)) - start
    if start:
        sound.seek(start)
    size = max(1, int(sound.samplerate * BLOCK_S))
    while left > 0:
        block = sound.read(min(size, left), dtype="float32", always_2d=True)
        if not len(block):
            raise ValueError(f"{path} is truncated: {left} of {sound.frames} samples are missing")
        if not np.isfinite(block).all():
            raise ValueError(f"{path} has samples that are not finite numbers")
        left -= len(block)
        yield block


def write(path: str, parts: Iterable[Samples], rate: int, channels: int) -> int:
    """Write a file, of the format that its suffix says, which appears when it is complete; the number of samples."""
    import soundfile

    suffix = path.rpartition(".")[2].lower()
    written = 0

    def fill(sink: Any) -> None:
        nonlocal written
        with soundfile.SoundFile(sink, "w", rate, channels, FORMATS[suffix], format=suffix.upper()) as sound:
            for part in parts:
                sound.write(part)
                written += len(part)

    storage.write_atomically(path, fill)
    return written


def check_format(owner: str, key: str, name: str) -> str:
    """The format's suffix in small letters.

    Raises:
        ValueError: it is not one of `FORMATS`.
    """
    plain = str(name).lower().lstrip(".")
    if plain not in FORMATS:
        raise ValueError(f"{owner}: {key} must be {', '.join(FORMATS)}, not {name!r}")
    return plain


def unique_stem(path: str) -> str:
    """A file name that no other path has: the path's own stem and a digest of the whole."""
    return f"{file_stem(PurePosixPath(path).stem or 'sound')[:100]}_{content_id([path])[:8]}"
