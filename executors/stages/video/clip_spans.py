"""Where a video is cut: at fixed distances, or where its scene changes."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.video.decoding import frames_between, opened, video_stream
from curator_slurm.executors.tasks import VideoTask
from curator_slurm.executors.video import Clip

Span = tuple[float, float]

_LOOK = (64, 36)
"""Width and height of the pictures that are compared."""


def fixed_spans(duration: float, length: float, stride: float, shortest: float) -> Iterator[Span]:
    """Spans of one length; the last ones may be shorter, but not shorter than `shortest`."""
    for number in itertools.count():
        start = number * stride
        if start >= duration:
            return
        end = min(start + length, duration)
        if end - start >= shortest:
            yield start, end


def scene_spans(
    cuts: Iterable[float], duration: float, shortest: float, longest: float | None, mode: str
) -> list[Span]:
    """Spans between cuts; one that is too long is cut off (`truncate`) or cut in pieces (`stride`)."""
    spans = []
    for start, end in itertools.pairwise([0.0, *cuts, duration]):
        if longest is None or end - start <= longest:
            pieces = [(start, end)]
        elif mode == "truncate":
            pieces = [(start, start + longest)]
        else:
            pieces = [(start + a, start + b) for a, b in fixed_spans(end - start, longest, longest, shortest)]
        spans += [(a, b) for a, b in pieces if b > a and b - a >= shortest]
    return spans


class _SpanStage(ProcessingStage[VideoTask, VideoTask]):
    """What both ways share: a video that has been read becomes one with clips."""

    limit_clips: int

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["source_bytes", "metadata"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def process(self, task: VideoTask) -> VideoTask:
        """The video with its clips.

        Raises:
            ValueError: the video has not been read.
        """
        video = task.data
        if video.source_bytes is None or not video.has_metadata():
            raise ValueError(f"{video.input_video}: stage {self.name!r} needs a video that VideoReader has read")
        spans = self.spans(video)
        if self.limit_clips > 0:
            spans = itertools.islice(spans, self.limit_clips)
        rate = video.metadata.framerate or 1.0
        video.clips = [_clip(str(video.input_video), span, rate) for span in spans]
        video.num_total_clips = len(video.clips)
        self._log_metric("clips", len(video.clips))
        return task

    def spans(self, video: Any) -> Iterable[Span]:
        """Begin and end of each clip, in seconds."""
        raise NotImplementedError


def _clip(source: str, span: Span, rate: float) -> Clip:
    """The same id in every run, NeMo Curator's for the same file and span."""
    first, last = (math.floor(time * rate) for time in span)
    return Clip(uuid.uuid5(uuid.NAMESPACE_URL, f"{source}_{first}_{last}"), source, span)


@dataclass
class FixedStrideExtractorStage(_SpanStage):
    """Cuts a video into clips of `clip_len_s` seconds that begin every `clip_stride_s` seconds.

    The last clips may be shorter, down to `min_clip_length_s`. `limit_clips` is the most clips of a video, 0 for any
    number. Nothing is decoded here: a clip is a span until it is transcoded.
    """

    clip_len_s: float
    clip_stride_s: float
    min_clip_length_s: float
    limit_clips: int
    verbose: bool = False
    name: str = "fixed_stride_extractor"

    def __post_init__(self) -> None:
        need_number(type(self).__name__, above=0, clip_len_s=self.clip_len_s, clip_stride_s=self.clip_stride_s)
        need_number(
            type(self).__name__, least=0, min_clip_length_s=self.min_clip_length_s, limit_clips=self.limit_clips
        )

    def spans(self, video: Any) -> Iterable[Span]:
        return fixed_spans(video.metadata.duration, self.clip_len_s, self.clip_stride_s, self.min_clip_length_s)


@dataclass
class SceneChangeExtractorStage(_SpanStage):
    """Cuts a video where its picture changes from one frame to the next.

    `threshold` is the change as a mean of all pixels and colours, from 0 to 1. Scenes shorter than `min_length_s` are
    left out; of longer ones than `max_length_s`, the rest is left out (`max_length_mode="truncate"`) or becomes clips
    of its own (`"stride"`). Every frame is decoded, small.
    """

    threshold: float = 0.12
    min_length_s: float = 1.0
    max_length_s: float | None = 60.0
    max_length_mode: str = "stride"
    limit_clips: int = 0
    name: str = "scene_change_extractor"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("av", owner)
        need_number(owner, above=0, threshold=self.threshold)
        need_number(owner, least=0, min_length_s=self.min_length_s, limit_clips=self.limit_clips)
        if self.max_length_s is not None:
            need_number(owner, above=self.min_length_s, max_length_s=self.max_length_s)
        if self.max_length_mode not in ("truncate", "stride"):
            raise ValueError(f"{owner}: max_length_mode must be truncate or stride, not {self.max_length_mode!r}")

    def spans(self, video: Any) -> Iterable[Span]:
        changes = picture_changes(video.source_bytes, str(video.input_video), video.metadata.duration)
        cuts = [time for time, change in changes if change > self.threshold]
        return scene_spans(cuts, video.metadata.duration, self.min_length_s, self.max_length_s, self.max_length_mode)


def picture_changes(content: bytes, named: str, duration: float) -> Iterator[tuple[float, float]]:
    """Time of each frame but the first, and how much its picture differs from the one before, from 0 to 1."""
    import numpy as np

    with opened(content, named) as container:
        stream = video_stream(container, named)
        stream.thread_type = "AUTO"
        before = None
        for time, frame in frames_between(container, stream, 0.0, duration + 1.0):
            picture = frame.reformat(*_LOOK, format="rgb24").to_ndarray().astype(np.int16)
            if before is not None:
                yield time, float(np.abs(picture - before).mean()) / 255
            before = picture
