"""Makes a file of each clip."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.video.decoding import opened, video_stream
from curator_slurm.executors.tasks import VideoTask
from curator_slurm.executors.video import Clip, Video

_TICKS = 60_000
"""Of a second: all common frame rates are a whole number of them."""


@dataclass
class ClipTranscodingStage(ProcessingStage[VideoTask, VideoTask]):
    """Encodes every clip as an MP4 file of its own, in memory; then the source's bytes are let go.

    `encoder` is one that PyAV has, such as libx264, libvpx-vp9 or mpeg4; on a GPU with an encoder, h264_nvenc. Sound is
    copied as it is; where MP4 cannot hold it, the clip has none and says so in its `errors`. A video with more than
    `num_clips_per_chunk` clips becomes several tasks. A clip that cannot be decoded fails its video.
    """

    num_cpus_per_worker: float = 1.0
    encoder: str = "libx264"
    encoder_threads: int = 1
    use_input_bit_rate: bool = False
    num_clips_per_chunk: int = 32
    verbose: bool = False
    name: str = "clip_transcoding"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("av", owner)
        need_number(owner, above=0, num_cpus_per_worker=self.num_cpus_per_worker)
        need_number(owner, least=1, encoder_threads=self.encoder_threads, num_clips_per_chunk=self.num_clips_per_chunk)
        self.resources = Resources(cpus=self.num_cpus_per_worker)

    def setup(self, worker_metadata: Any = None) -> None:  # noqa: ARG002
        """Look for the encoder.

        Raises:
            ValueError: this PyAV does not have it.
        """
        import av

        if self.encoder not in av.codecs_available:
            usual = [name for name in ("libx264", "libvpx-vp9", "libsvtav1", "mpeg4") if name in av.codecs_available]
            raise ValueError(f"{self.name}: PyAV here has no encoder {self.encoder!r}; it has {', '.join(usual)}")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["source_bytes", "clips"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], ["clips"]

    def process(self, task: VideoTask) -> list[VideoTask]:
        """The video with the clips encoded, as one or more tasks.

        Raises:
            ValueError: a clip cannot be decoded or encoded; names file and seconds.
        """
        video = task.data
        if video.source_bytes is None:
            raise ValueError(f"{video.input_video}: stage {self.name!r} needs the content that VideoReader has read")
        bit_rate = (video.metadata.bit_rate_k or 0) * 1000 if self.use_input_bit_rate else 0
        for clip in video.clips:
            clip.buffer = encoded(video.source_bytes, clip, self.encoder, self.encoder_threads, bit_rate)
        video.source_bytes = None
        self._log_metric("clips", len(video.clips))
        return [self._part(task, video, part) for part in chunks(video.clips, self.num_clips_per_chunk)]

    def _part(self, task: VideoTask, video: Video, part: tuple[int, int, list[Clip]]) -> VideoTask:
        index, count, clips = part
        mine = copy.copy(video)
        mine.clips, mine.num_total_clips = clips, len(video.clips)
        mine.clip_chunk_index, mine.num_clip_chunks = index, count
        mine.filtered_clips, mine.clip_stats = [], copy.copy(video.clip_stats)
        mine.clip_stats.num_transcoded = len(clips)
        return VideoTask(task.dataset_name, mine, _metadata=dict(task._metadata), _stage_perf=list(task._stage_perf))


def chunks(clips: list[Clip], most: int) -> list[tuple[int, int, list[Clip]]]:
    """Index of each part, number of parts, and its clips; a video without clips is one part."""
    parts = [clips[start : start + most] for start in range(0, len(clips), most)] or [[]]
    return [(index, len(parts), part) for index, part in enumerate(parts)]


def encoded(content: bytes, clip: Clip, encoder: str, threads: int = 1, bit_rate: int = 0) -> bytes:
    """The clip as an MP4 file.

    Raises:
        ValueError: it cannot be decoded or encoded, or has no frame.
    """
    import av

    named = f"{clip.source_video}, {clip.span[0]:.2f} to {clip.span[1]:.2f} s,"
    sink = io.BytesIO()
    with opened(content, named) as container:
        stream = video_stream(container, named)
        with av.open(sink, "w", format="mp4") as out:
            frames = _Encoding(container, stream, out, clip).run(encoder, threads, bit_rate)
    if not frames:
        raise ValueError(f"{named} has no frames")
    return sink.getvalue()


class _Encoding:
    """One clip on its way from the source's container to its own."""

    def __init__(self, container: Any, stream: Any, out: Any, clip: Clip) -> None:
        self.container = container
        self.stream = stream
        self.out = out
        self.clip = clip
        self.zero = float((stream.start_time or 0) * stream.time_base)
        self.margin = 0.25 / float(stream.average_rate or 30)
        self.audio = next((found for found in container.streams.audio if found.codec_context is not None), None)
        self.audio_out: Any = None

    def run(self, encoder: str, threads: int, bit_rate: int) -> int:
        """Encode all frames of the span and copy its sound; the number of frames."""
        target = self._target(encoder, threads, bit_rate)
        self._add_audio()
        start, end = self.clip.span
        if start > 0:
            at = (self.stream.start_time or 0) + int(start / self.stream.time_base)
            self.container.seek(at, stream=self.stream, backward=True)
        wanted = [self.stream] if self.audio_out is None else [self.stream, self.audio]
        count, picture, sound = 0, True, self.audio_out is not None
        for packet in self.container.demux(wanted):
            if packet.stream_index != self.stream.index:
                sound = self._copy(packet, start, end) and sound
            elif picture:
                for frame in packet.decode():
                    time = self._time(frame.pts)
                    if time >= end - self.margin:
                        picture = False
                    elif time >= start - self.margin:
                        self._encode(target, frame, time - start)
                        count += 1
            if not picture and not sound:
                break
        if count:
            self.out.mux(target.encode(None))
        return count

    def _target(self, encoder: str, threads: int, bit_rate: int) -> Any:
        source = self.stream.codec_context
        rate = Fraction(self.stream.average_rate or 30).limit_denominator(1001)
        target = self.out.add_stream(encoder, rate=rate)
        target.width, target.height = max(2, source.width // 2 * 2), max(2, source.height // 2 * 2)
        target.pix_fmt = "yuv420p"
        target.codec_context.time_base = Fraction(1, _TICKS)
        target.codec_context.thread_count = threads
        if bit_rate:
            target.codec_context.bit_rate = bit_rate
        return target

    def _add_audio(self) -> None:
        if self.audio is None:
            return
        name = self.audio.codec_context.name
        if name not in self.out.supported_codecs:
            self.clip.errors["audio"] = f"MP4 cannot hold {name}, so the clip has no sound"
            return
        self.audio_out = self.out.add_stream_from_template(self.audio)

    def _time(self, pts: int | None) -> float:
        return float((pts or 0) * self.stream.time_base) - self.zero

    def _encode(self, target: Any, frame: Any, time: float) -> None:
        frame = frame.reformat(width=target.width, height=target.height, format="yuv420p")
        frame.pict_type = 0
        frame.time_base = Fraction(1, _TICKS)
        frame.pts = max(0, round(time * _TICKS))
        self.out.mux(target.encode(frame))

    def _copy(self, packet: Any, start: float, end: float) -> bool:
        """Copy a packet of sound that begins within the span; whether more may come."""
        if packet.pts is None or not packet.size:
            return True
        time = float(packet.pts * packet.time_base) - self.zero
        if time >= end:
            return False
        if time >= start:
            offset = round((start + self.zero) / packet.time_base)
            packet.pts, packet.dts = packet.pts - offset, (packet.dts or packet.pts) - offset
            packet.stream = self.audio_out
            self.out.mux(packet)
        return True
