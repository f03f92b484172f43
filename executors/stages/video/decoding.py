"""Decodes videos with PyAV: what a file is, and its frames with their times."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from curator_slurm.executors.video import VideoMetadata

_MISSING_S = 0.5
"""A file that ends so much before the end that its header declares is truncated."""


@contextlib.contextmanager
def opened(content: bytes, named: str) -> Iterator[Any]:
    """The container of a file's content.

    Raises:
        ValueError: it cannot be decoded, here or inside the block; names the file.
    """
    import av

    av.logging.restore_default_callback()  # PyAV's own can deadlock with FFmpeg's threads
    av.logging.set_libav_level(av.logging.FATAL)
    try:
        with av.open(io.BytesIO(content), metadata_errors="ignore") as container:
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"{named} is not a video that can be decoded: {error.strerror or error}") from error


def video_stream(container: Any, named: str) -> Any:
    """The first video stream; the cover of an audio file is none.

    Raises:
        ValueError: there is none.
    """
    import av

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    raise ValueError(f"{named} has no video stream that can be decoded")


def probe(content: bytes, named: str) -> VideoMetadata:
    """Metadata of a file, all of which has been looked through, but not decoded.

    Raises:
        ValueError: it is no video, or truncated; names the file.
    """
    if not content:
        raise ValueError(f"{named} is empty")
    with opened(content, named) as container:
        if container.format.name.endswith("_pipe"):
            raise ValueError(f"{named} is a picture, not a video")
        stream = video_stream(container, named)
        frames, begin, end, last = _extent(container, stream)
        _check_complete(named, frames, stream.frames, last, _declared_end(container))
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        duration = end - begin
        if not frames or not rate or duration <= 0 or not stream.codec_context.width:
            raise ValueError(f"{named} has no frames, or no size or times of them")
        audio = next(iter(container.streams.audio), None)
        context = stream.codec_context
        return VideoMetadata(
            size=len(content),
            height=context.height,
            width=context.width,
            framerate=float(rate),
            num_frames=frames,
            duration=duration,
            video_codec=context.name,
            pixel_format=context.pix_fmt,
            audio_codec=audio.codec_context.name if audio is not None and audio.codec_context else None,
            bit_rate_k=int(stream.bit_rate or len(content) * 8 / duration) // 1000,
        )


def frames_between(container: Any, stream: Any, start: float, end: float) -> Iterator[tuple[float, Any]]:
    """Frames from `start` up to `end`, in seconds from the first frame, with their times."""
    zero, base = stream.start_time or 0, stream.time_base
    if start > 0:
        container.seek(zero + int(start / base), stream=stream, backward=True)
    margin = 0.25 / float(stream.average_rate or 30)
    for frame in container.decode(stream):
        if frame.pts is None:
            continue
        time = float((frame.pts - zero) * base)
        if time >= end - margin:
            return
        if time >= start - margin:
            yield time, frame


def _extent(container: Any, stream: Any) -> tuple[int, float, float, float]:
    """Number of the stream's frames, its begin and end, and the end of whatever stream ends last, in seconds."""
    count, begin, end, last = 0, float("inf"), 0.0, 0.0
    for packet in container.demux():
        if not packet.size or packet.pts is None or packet.time_base is None:
            continue
        time = float(packet.pts * packet.time_base)
        until = time + float((packet.duration or 0) * packet.time_base)
        last = max(last, until)
        if packet.stream_index == stream.index:
            count, begin, end = count + 1, min(begin, time), max(end, until)
    if count and stream.average_rate:
        end = max(end, begin + count / float(stream.average_rate) if end <= begin else end)
    return count, min(begin, end), end, last


def _declared_end(container: Any) -> float | None:
    import av

    if container.duration is None:
        return None
    return float(Fraction(container.duration + (container.start_time or 0), av.time_base))


def _check_complete(named: str, frames: int, declared: int, last: float, end: float | None) -> None:
    """Some containers say how many frames they have, most how long they are."""
    if frames < declared:
        raise ValueError(f"{named} is truncated: it has {frames} of {declared} frames")
    if end is not None and last < end - _MISSING_S:
        raise ValueError(f"{named} is truncated: it has {last:.2f} of {end:.2f} seconds")
