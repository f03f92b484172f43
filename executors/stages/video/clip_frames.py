"""Frames of clips as arrays, and a filter that looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.video.decoding import frames_between, opened, video_stream
from curator_slurm.executors.tasks import VideoTask
from curator_slurm.executors.video import Clip

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]

POLICIES = ("first", "middle", "last", "sequence")


def signature(policy: str, rate: float) -> str:
    """The key of frames in `extracted_frames`."""
    return f"{policy}-{int(rate * 1000)}"


@dataclass
class ClipFrameExtractionStage(ProcessingStage[VideoTask, VideoTask]):
    """Decodes frames of every clip that was transcoded, as an array of RGB pictures in `extracted_frames`.

    Of each rate in `target_fps`, frames a second, a policy takes all (`sequence`), the `first`, the `middle` or the
    `last` one; the key is policy-rate, the rate in thousandths: `sequence-2000`. `target_res` is (height, width), by
    default the clip's own.
    """

    extraction_policies: tuple[str, ...] = ("sequence",)
    target_res: tuple[int, int] | None = None
    verbose: bool = False
    num_cpus: int = 1
    target_fps: list[float | int] | None = None
    name: str = "clip_frame_extraction"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("av", owner)
        need_number(owner, least=1, num_cpus=self.num_cpus)
        self.target_fps = [2] if self.target_fps is None else list(self.target_fps)
        for rate in self.target_fps:
            need_number(owner, above=0, target_fps=rate)
        unknown = [name for name in self.extraction_policies if name not in POLICIES]
        if unknown or isinstance(self.extraction_policies, str):
            raise ValueError(f"{owner}: extraction_policies are a list of {', '.join(POLICIES)}, not {unknown or self}")
        self.resources = Resources(cpus=self.num_cpus)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def process(self, task: VideoTask) -> VideoTask:
        """The clips with their frames.

        Raises:
            ValueError: a clip has not been transcoded, or cannot be decoded.
        """
        found = 0
        for clip in task.data.clips:
            content = content_of(clip, self.name)
            for rate in self.target_fps or ():
                frames = frames_at(content, f"clip {clip.uuid} of {clip.source_video}", rate, self.target_res)
                for policy in self.extraction_policies:
                    clip.extracted_frames[signature(policy, rate)] = _chosen(frames, policy)
                found += len(frames)
        self._log_metric("frames", found)
        return task


def content_of(clip: Clip, stage: str) -> bytes:
    """The clip's file.

    Raises:
        ValueError: there is none.
    """
    if not clip.buffer:
        raise ValueError(
            f"clip {clip.uuid} of {clip.source_video} has no content: stage {stage!r} needs ClipTranscodingStage before"
        )
    return clip.buffer


def frames_at(content: bytes, named: str, rate: float, size: tuple[int, int] | None = None) -> Frames:
    """RGB frames of a file, `rate` of each second, beginning with the first.

    Raises:
        ValueError: it cannot be decoded, or has no frame.
    """
    import numpy as np

    found, due = [], 0.0
    with opened(content, named) as container:
        stream = video_stream(container, named)
        shape = {} if size is None or min(size) <= 0 else {"height": size[0], "width": size[1]}
        for time, frame in frames_between(container, stream, 0.0, float("inf")):
            if time >= due - 1e-6:
                found.append(frame.reformat(format="rgb24", **shape).to_ndarray())
                due = (int(time * rate + 1e-6) + 1) / rate
    if not found:
        raise ValueError(f"{named} has no frames")
    return np.stack(found)


def _chosen(frames: Frames, policy: str) -> Frames:
    if policy == "sequence":
        return frames
    position = {"first": 0, "middle": len(frames) // 2, "last": len(frames) - 1}[policy]
    return frames[position : position + 1]


@dataclass
class ClipQualityFilterStage(ProcessingStage[VideoTask, VideoTask]):
    """Leaves out clips that are too dark, too bright, too flat or too blurred, by the means over their frames.

    Brightness is the mean of the grey values from 0 to 1, contrast their standard deviation, sharpness the variance of
    the Laplacian of grey values from 0 to 255. All are in the clip's `scores`; with `score_only`, no clip is left out.
    """

    min_brightness: float = 0.03
    max_brightness: float = 0.97
    min_contrast: float = 0.01
    min_sharpness: float = 0.0
    score_only: bool = False
    name: str = "clip_quality_filter"

    def __post_init__(self) -> None:
        need_number(
            type(self).__name__,
            least=0,
            min_brightness=self.min_brightness,
            max_brightness=self.max_brightness,
            min_contrast=self.min_contrast,
            min_sharpness=self.min_sharpness,
        )

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips", "filtered_clips"]

    def process(self, task: VideoTask) -> VideoTask:
        """The video with the clips that pass; others are in `filtered_clips`.

        Raises:
            ValueError: a clip has no frames.
        """
        video = task.data
        kept: list[Clip] = []
        for clip in video.clips:
            if not clip.extracted_frames:
                raise ValueError(
                    f"clip {clip.uuid} of {clip.source_video} has no frames: stage {self.name!r} needs "
                    "ClipFrameExtractionStage before"
                )
            clip.scores.update(look(next(iter(clip.extracted_frames.values()))))
            (kept if self.score_only or self.passes(clip.scores) else video.filtered_clips).append(clip)
        dropped = len(video.clips) - len(kept)
        video.clips = kept
        video.clip_stats.num_filtered_by_quality += dropped
        self._log_metrics({"clips_kept": len(kept), "clips_filtered": dropped})
        return task

    def passes(self, scores: dict[str, float]) -> bool:
        """Whether every score is in range."""
        return (
            self.min_brightness <= scores["brightness"] <= self.max_brightness
            and scores["contrast"] >= self.min_contrast
            and scores["sharpness"] >= self.min_sharpness
        )


def look(frames: Any) -> dict[str, float]:
    """Brightness, contrast and sharpness of RGB frames, as means."""
    import numpy as np

    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    laplacian = (
        grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * grey[:, 1:-1, 1:-1]
    )
    sharpness = float(laplacian.var(axis=(1, 2)).mean()) if laplacian.size else 0.0
    return {
        "brightness": float(grey.mean()) / 255,
        "contrast": float(grey.std(axis=(1, 2)).mean()) / 255,
        "sharpness": sharpness,
    }
