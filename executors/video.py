"""What a VideoTask holds: a video, its metadata and its clips. Names and fields are NeMo Curator's."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass
class VideoMetadata:
    """Of the file (`size` in bytes) and its first video stream (`framerate` in frames and `duration` in seconds)."""

    size: int | None = None
    height: int | None = None
    width: int | None = None
    framerate: float | None = None
    num_frames: int | None = None
    duration: float | None = None
    video_codec: str | None = None
    pixel_format: str | None = None
    audio_codec: str | None = None
    bit_rate_k: int | None = None


@dataclass
class Clip:
    """A span of a video, in seconds; `buffer` is the clip as a file of its own, once it is transcoded.

    `extracted_frames` has arrays of frames by policy and rate, `scores` what filters measured. `errors` says what a
    stage could not do for the clip, by a word.
    """

    uuid: UUID
    source_video: str
    span: tuple[float, float]
    buffer: bytes | None = None
    extracted_frames: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    decoded_motion_data: Any = None
    motion_score_global_mean: float | None = None
    motion_score_per_patch_min_256: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.span[1] - self.span[0]

    def get_major_size(self) -> int:
        """Bytes of what is large."""
        arrays = [*self.extracted_frames.values(), self.decoded_motion_data]
        return len(self.buffer or b"") + sum(int(getattr(array, "nbytes", 0)) for array in arrays)


@dataclass
class ClipStats:
    """How many clips a filter left out, passed and transcoded."""

    num_filtered_by_motion: int = 0
    num_filtered_by_quality: int = 0
    num_passed: int = 0
    num_transcoded: int = 0
    total_clip_duration: float = 0.0
    max_clip_duration: float = 0.0

    def combine(self, other: ClipStats) -> None:
        """Add the counts of another part."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "max_clip_duration" else mine + value)


@dataclass
class Video:
    """A video file, its content until it is cut into clips, and its clips: kept ones and filtered ones.

    A stage that cuts a video may divide its clips among several tasks: `num_total_clips` is the number of them all.
    """

    input_video: Path
    source_bytes: bytes | None = None
    metadata: VideoMetadata = field(default_factory=VideoMetadata)
    clips: list[Clip] = field(default_factory=list)
    filtered_clips: list[Clip] = field(default_factory=list)
    num_total_clips: int = 0
    num_clip_chunks: int = 0
    clip_chunk_index: int = 0
    clip_stats: ClipStats = field(default_factory=ClipStats)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """The part of the video's clips that is here."""
        here = len(self.clips) + len(self.filtered_clips)
        return here / self.num_total_clips if self.num_total_clips else 1.0

    @property
    def weight(self) -> float:
        """How much work it is: 1 is five minutes."""
        return (self.metadata.duration or 0.0) / 300 * self.fraction

    @property
    def input_path(self) -> str:
        """The path as text."""
        return str(self.input_video)

    def get_major_size(self) -> int:
        """Bytes of what is large."""
        return sys.getsizeof(self.source_bytes) + sum(clip.get_major_size() for clip in self.clips)

    def has_metadata(self) -> bool:
        """Whether everything is known that stages need."""
        known = self.metadata
        needed = (known.height, known.width, known.duration, known.framerate, known.num_frames, known.video_codec)
        return all(needed)

    def is_10_bit_color(self) -> bool | None:
        """Whether the pixel format has 10 bits; None where it is not known."""
        name = self.metadata.pixel_format
        return None if name is None else "10le" in name or "10be" in name
