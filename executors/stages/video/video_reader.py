"""Finds video files and reads each with its metadata."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.executors.stage import CompositeStage, ProcessingStage
from curator_slurm.executors.stages.extras import need_package
from curator_slurm.executors.stages.io.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.io.storage import open_to_read
from curator_slurm.executors.stages.video.decoding import probe
from curator_slurm.executors.tasks import EmptyTask, FileGroupTask, VideoTask
from curator_slurm.executors.video import Video

log = logging.getLogger(__name__)

VIDEO_EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".m2ts", ".wmv", ".flv", ".ogv")


@dataclass
class VideoReaderStage(ProcessingStage[FileGroupTask, VideoTask]):
    """Reads a video file into memory, with the metadata of its first video stream.

    A file that is no video, has no frames or is truncated is an error, which names it.
    """

    input_path: str | list[str] | None = None
    verbose: bool = False
    name: str = "video_reader"

    def __post_init__(self) -> None:
        need_package("av", type(self).__name__)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["source_bytes", "metadata"]

    def process(self, task: FileGroupTask) -> VideoTask:
        """The video.

        Raises:
            ValueError: it cannot be used; or the task has not one file.
        """
        if len(task.data) != 1:
            raise ValueError(f"{self.name} takes one file at a time, not {len(task.data)}: files_per_partition=1")
        (path,) = task.data
        with open_to_read(path) as file:
            content = file.read()
        video = Video(input_video=Path(path), source_bytes=content, metadata=probe(content, path))
        if self.verbose:
            log.info("%s: %s", path, video.metadata)
        self._log_metrics({"video_s": video.metadata.duration or 0.0, "video_bytes": len(content)})
        return VideoTask(task.dataset_name, video, _metadata=task._metadata, _stage_perf=task._stage_perf)


@dataclass
class VideoReader(CompositeStage[EmptyTask, VideoTask]):
    """Finds videos in a folder (with those below), or files that are listed or match a glob, and reads each.

    `video_limit` is the maximum number of videos.
    """

    input_video_path: str | list[str]
    video_limit: int | None = None
    verbose: bool = False
    name = "video_reader"

    def __post_init__(self) -> None:
        super().__init__()
        need_package("av", type(self).__name__)
        if not self.input_video_path:
            raise ValueError("VideoReader: input_video_path must not be empty")
        if isinstance(self.input_video_path, (str, os.PathLike)):
            self.input_video_path = os.fspath(self.input_video_path)

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [
            FilePartitioningStage(
                self.input_video_path,
                files_per_partition=1,
                file_extensions=list(VIDEO_EXTENSIONS),
                limit=self.video_limit,
            ),
            VideoReaderStage(self.input_video_path, self.verbose),
        ]
