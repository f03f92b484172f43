"""Videos and sounds for tests, made on the spot: without the code under test."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from curator_slurm.executors import FileGroupTask

RATE = 20
SIZE = (96, 64)


def world(seed: int, width: int, height: int) -> Any:
    """A picture of squares of colour, twice as wide as the film."""
    chance = np.random.default_rng(seed)
    patches = chance.integers(0, 256, (height // 8, 2 * width // 8, 3), dtype=np.uint8)
    return np.kron(patches, np.ones((8, 8, 1), np.uint8))


def pictures(scenes: Sequence[tuple[str, float]], size: tuple[int, int] = SIZE) -> list[Any]:
    """Frames of scenes, (what, seconds) each: moving, still, black, white."""
    found = []
    for seed, (what, seconds) in enumerate(scenes):
        whole = world(seed, *size)
        for number in range(round(seconds * RATE)):
            shift = (2 * number) % size[0] if what == "moving" else 0
            picture = np.ascontiguousarray(whole[:, shift : shift + size[0]])
            found.append({"black": picture * 0, "white": picture * 0 + 255}.get(what, picture))
    return found


def video(
    path: Path,
    scenes: Sequence[tuple[str, float]] = (("moving", 1.0), ("still", 1.0)),
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    sound: str | None = None,
    options: dict[str, str] | None = None,
    encoding: dict[str, str] | None = None,
) -> Path:
    """A video file; `sound` is an audio codec."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = pictures(scenes, size)
    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=RATE, options=encoding or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        audio: Any = out.add_stream(sound, rate=16000, layout="mono") if sound else None
        for picture in shown:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(16000 * len(shown) // RATE) / 20).astype("float32")
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            fifo = av.AudioFifo()
            fifo.write(frame)
            while (part := fifo.read(1024)) is not None:
                out.mux(audio.encode(part))
            out.mux(audio.encode(None))
    return path


def group(path: Path) -> FileGroupTask:
    """What a reading stage gets of one file."""
    return FileGroupTask("films", [str(path)])


def cut(path: Path, part: float, name: str | None = None) -> Path:
    """A copy that ends too early."""
    copy = path.with_name(name or f"cut-{path.name}")
    copy.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return copy


def renamed(path: Path, name: str) -> Path:
    """A copy under another name."""
    return Path(shutil.copy(path, path.with_name(name)))


def tone(seconds: float, rate: int = 16000, loudness: float = 0.5) -> Any:
    return loudness * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def phrases(*parts: tuple[str, float], rate: int = 16000, loudness: float = 0.5) -> Any:
    """Samples: ("tone", seconds) or ("pause", seconds), one after the other."""
    return np.concatenate([tone(seconds, rate, loudness * (what == "tone")) for what, seconds in parts])


def sound(path: Path, samples: Any, rate: int = 16000, **options: Any) -> Path:
    """A sound file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path
