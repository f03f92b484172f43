"""Writes clips as files, and hands on what is known of them as rows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.extras import need_package
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.tasks import DocumentBatch, VideoTask
from curator_slurm.executors.video import Clip

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class ClipWriter(ProcessingStage[VideoTask, DocumentBatch]):
    """Writes each clip to `clips/<id>.mp4` in `path`, and makes a row of it, for a writer of Parquet or JSONL.

    `frames` writes the extracted frames too, as `frames/<id>-<number>.jpg`. With `include_filtered`, clips that a
    filter left out have rows, with `kept` false and without a file. `clip_path` begins at `path`, so
    that the folder can be moved. A task that runs again writes the same files.
    """

    path: str
    frames: bool = False
    include_filtered: bool = False
    storage_options: dict[str, Any] | None = None
    name: str = "clip_writer"

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError(f"{type(self).__name__}: path must not be empty")
        if self.frames:
            need_package("av", type(self).__name__)
        self.path = storage.absolute(self.path)
        self.resources = Resources(cpus=0.25)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(_columns())

    def process(self, task: VideoTask) -> DocumentBatch:
        """The rows.

        Raises:
            ValueError: a clip has not been transcoded.
        """
        import pyarrow as pa

        video = task.data
        rows = [self._row(clip, video.metadata, self._write(clip)) for clip in video.clips]
        if self.include_filtered:
            rows += [self._row(clip, video.metadata, None) for clip in video.filtered_clips]
        table = pa.Table.from_pylist(rows, schema=pa.schema(list(_columns().items())))
        return DocumentBatch(task.dataset_name, table, _metadata=task._metadata, _stage_perf=task._stage_perf)

    def _write(self, clip: Clip) -> str:
        if not clip.buffer:
            raise ValueError(
                f"clip {clip.uuid} of {clip.source_video} has no content: stage {self.name!r} needs "
                "ClipTranscodingStage before"
            )
        name = f"clips/{clip.uuid}.mp4"
        self._store(name, clip.buffer)
        if self.frames:
            pictures = [picture for found in clip.extracted_frames.values() for picture in found]
            for number, picture in enumerate(pictures):
                self._store(f"frames/{clip.uuid}-{number:04}.jpg", jpeg(picture))
        return name

    def _store(self, name: str, content: bytes) -> None:
        storage.write_atomically(storage.join(self.path, name), lambda sink: _put(sink, content), self.storage_options)

    def _row(self, clip: Clip, source: Any, path: str | None) -> dict[str, Any]:
        scores = getattr(clip, "scores", {})
        return {
            "clip_id": str(clip.uuid),
            "source_video": clip.source_video,
            "start_s": clip.span[0],
            "end_s": clip.span[1],
            "clip_path": path,
            "clip_bytes": len(clip.buffer or b""),
            "source_width": source.width,
            "source_height": source.height,
            "source_framerate": source.framerate,
            "source_codec": source.video_codec,
            "frames": sum(map(len, clip.extracted_frames.values())),
            "motion_score_global_mean": clip.motion_score_global_mean,
            "motion_score_per_patch_min_256": clip.motion_score_per_patch_min_256,
            **{name: scores.get(name) for name in _SCORES},
            "kept": path is not None,
            "errors": "; ".join(f"{name}: {what}" for name, what in clip.errors.items()) or None,
        }


_SCORES = ("brightness", "contrast", "sharpness")


def _columns() -> dict[str, pa.DataType]:
    """The same types in every file, whatever is null."""
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    return {
        "clip_id": text,
        "source_video": text,
        "start_s": number,
        "end_s": number,
        "clip_path": text,
        "clip_bytes": count,
        "source_width": count,
        "source_height": count,
        "source_framerate": number,
        "source_codec": text,
        "frames": count,
        "motion_score_global_mean": number,
        "motion_score_per_patch_min_256": number,
        **dict.fromkeys(_SCORES, number),
        "kept": pa.bool_(),
        "errors": text,
    }


def _put(sink: Any, content: bytes) -> None:
    sink.write(content)


def jpeg(picture: Any) -> bytes:
    """An RGB array as a JPEG file."""
    import av

    sink = io.BytesIO()
    with av.open(sink, "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()
