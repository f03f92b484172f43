"""How much moves in a clip, by the motion vectors that its encoder has stored, and a filter by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.video.clip_frames import content_of
from curator_slurm.executors.stages.video.decoding import opened, video_stream
from curator_slurm.executors.tasks import VideoTask
from curator_slurm.executors.video import Clip

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Field = npt.NDArray[np.float32]

_CELL = 16
"""Side of the squares of pixels that motion is kept for; encoders' blocks are no larger."""
_PATCH = 256
_WITH_VECTORS = frozenset({"h264", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv1", "msmpeg4v2", "msmpeg4v3"})
"""Codecs whose decoders tell the motion vectors."""


@dataclass
class MotionVectorDecodeStage(ProcessingStage[VideoTask, VideoTask]):
    """Reads the motion vectors of clips that are H.264 or MPEG-4 into `decoded_motion_data`.

    The data are an array (parts, rows, columns): in each of `target_fps` parts of a second, how far each square of 16
    pixels has moved from the frame that it was predicted from, as a part of width + height. `target_duration_ratio` of
    the clip is looked at, but ten parts in any case.
    """

    num_cpus_per_worker: float = 1.0
    verbose: bool = False
    target_fps: float = 2.0
    target_duration_ratio: float = 0.5
    name: str = "motion_vector_decoding"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("av", owner)
        need_number(owner, above=0, num_cpus_per_worker=self.num_cpus_per_worker, target_fps=self.target_fps)
        need_number(owner, above=0, target_duration_ratio=self.target_duration_ratio)
        self.resources = Resources(cpus=self.num_cpus_per_worker)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def process(self, task: VideoTask) -> VideoTask:
        """The clips with their motion.

        Raises:
            ValueError: a clip has not been transcoded, or not to a codec with motion vectors.
        """
        for clip in task.data.clips:
            most = max(10, round(self.target_fps * clip.duration * self.target_duration_ratio))
            named = f"clip {clip.uuid} of {clip.source_video}"
            clip.decoded_motion_data = motion(content_of(clip, self.name), named, self.target_fps, most)
        return task


@dataclass
class MotionFilterStage(ProcessingStage[VideoTask, VideoTask]):
    """Leaves out clips in which too little moves: on the whole, or in the calmest square of 256 pixels.

    Both scores are how far the picture moves from one frame to those that it is predicted from, as a part of width +
    height: 0.001 is about three pixels in full HD and half a pixel in 320 x 240. With `score_only`, no clip is left
    out.
    """

    score_only: bool = False
    global_mean_threshold: float = 0.00098
    per_patch_min_256_threshold: float = 0.000001
    verbose: bool = False
    name: str = "motion_filter"

    def __post_init__(self) -> None:
        self.resources = Resources(cpus=0.25)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips", "filtered_clips"]

    def process(self, task: VideoTask) -> VideoTask:
        """The video with the clips that move; others are in `filtered_clips`.

        Raises:
            ValueError: the motion of a clip has not been decoded.
        """
        video = task.data
        kept: list[Clip] = []
        for clip in video.clips:
            if clip.decoded_motion_data is None:
                raise ValueError(
                    f"clip {clip.uuid} of {clip.source_video} has no motion data: stage {self.name!r} needs "
                    "MotionVectorDecodeStage before"
                )
            mean, calmest = motion_scores(clip.decoded_motion_data)
            clip.decoded_motion_data = None
            clip.motion_score_global_mean, clip.motion_score_per_patch_min_256 = mean, calmest
            small = mean < self.global_mean_threshold or calmest < self.per_patch_min_256_threshold
            (video.filtered_clips if small and not self.score_only else kept).append(clip)
        dropped = len(video.clips) - len(kept)
        video.clips = kept
        video.clip_stats.num_filtered_by_motion += dropped
        self._log_metrics({"clips_kept": len(kept), "clips_filtered": dropped})
        return task


def motion(content: bytes, named: str, rate: float, most: int) -> Field:
    """The motion in up to `most` parts of a file, `rate` of each second, as means of their frames.

    Raises:
        ValueError: it cannot be decoded, or its codec does not tell.
    """
    import numpy as np

    with opened(content, named) as container:
        stream = video_stream(container, named)
        context = stream.codec_context
        if context.name not in _WITH_VECTORS:
            raise ValueError(
                f"{named} is {context.name}, whose decoder tells no motion vectors: transcode clips with libx264 or "
                "mpeg4"
            )
        rows, columns = -(-context.height // _CELL), -(-context.width // _CELL)
        span = context.width + context.height
        windows = _windows(container, stream, rate, most)
        fields = [sum(field(vectors, rows, columns, span) for vectors in window) / len(window) for window in windows]
    return np.stack(fields) if fields else np.zeros((0, rows, columns), np.float32)


def _windows(container: Any, stream: Any, rate: float, most: int) -> list[list[Any]]:
    """Motion vectors of all predicted frames in each of up to `most` windows, which are 1/rate of a second long.

    One frame of a window would not do: frames differ in how far away the frames are that they are predicted from.
    """
    import av
    import numpy as np

    stream.codec_context.flags2 |= av.codec.context.Flags2.export_mvs
    zero = stream.start_time or 0
    windows: dict[int, list[Any]] = {}
    for frame in container.decode(stream):
        number = int(float(((frame.pts or 0) - zero) * stream.time_base) * rate + 1e-6)
        if len(windows) == most and number not in windows:
            break
        if frame.pict_type != av.video.frame.PictureType.I:
            found = [data for data in frame.side_data if data.type == av.sidedata.sidedata.Type.MOTION_VECTORS]
            windows.setdefault(number, []).append(found[0].to_ndarray() if found else np.zeros(0, _NO_VECTORS))
    return list(windows.values())


_NO_VECTORS = [(name, "<i4") for name in ("w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")]


def field(vectors: Any, rows: int, columns: int, span: int) -> Field:
    """How far each square of a frame has moved, from the vectors in it; 0 where there are none."""
    import numpy as np

    used = vectors[vectors["motion_scale"] > 0]
    length = np.hypot(used["motion_x"].astype(float), used["motion_y"]) / used["motion_scale"] / span
    weight = used["w"].astype(float) * used["h"] / _CELL**2
    row = np.clip(used["dst_y"].astype(int) // _CELL, 0, rows - 1)
    column = np.clip(used["dst_x"].astype(int) // _CELL, 0, columns - 1)
    cells = row * columns + column
    moved = np.bincount(cells, weights=length * weight, minlength=rows * columns)
    covered = np.bincount(cells, weights=weight, minlength=rows * columns)
    return (moved / np.maximum(covered, 1.0)).reshape(rows, columns).astype(np.float32)


def motion_scores(fields: Field) -> tuple[float, float]:
    """Mean over everything, and the mean of the calmest patch; 0 where there is nothing but intra frames."""
    import numpy as np

    if not fields.size:
        return 0.0, 0.0
    mean = fields.mean(axis=0)
    patches = [
        patch
        for band in np.array_split(mean, max(1, mean.shape[0] * _CELL // _PATCH), axis=0)
        for patch in np.array_split(band, max(1, mean.shape[1] * _CELL // _PATCH), axis=1)
    ]
    return float(mean.mean()), min(float(patch.mean()) for patch in patches)
