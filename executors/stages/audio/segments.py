"""Cuts sounds into segments where they are silent, and writes each segment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.audio import sound
from curator_slurm.executors.stages.audio.measure import dbfs
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.tasks import AudioTask

_WINDOW_S = 0.02


@dataclass
class SilenceSegmentationStage(ProcessingStage[AudioTask, AudioTask]):
    """Finds the segments between silences: a task for each, and none for a sound that is silent throughout.

    Below `silence_dbfs` for at least `min_silence_s` seconds is a silence. Segments shorter than `min_length_s` are
    left out; longer ones than `max_length_s` are cut into equal parts. An entry gets `original_file`,
    `original_start_ms`, `original_end_ms`, `segment_num` and the segment's `duration`; SegmentExtractionStage writes
    it.
    """

    audio_filepath_key: str = "audio_filepath"
    duration_key: str = "duration"
    silence_dbfs: float = -40.0
    min_silence_s: float = 0.3
    min_length_s: float = 0.5
    max_length_s: float = 30.0
    name: str = "silence_segmentation"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("soundfile", owner)
        need_number(owner, silence_dbfs=self.silence_dbfs)
        need_number(owner, least=0, min_silence_s=self.min_silence_s, min_length_s=self.min_length_s)
        need_number(owner, above=self.min_length_s, max_length_s=self.max_length_s)

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.audio_filepath_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], ["original_file", "original_start_ms", "original_end_ms", "segment_num", self.duration_key]

    def process(self, task: AudioTask) -> list[AudioTask]:
        path = task.data[self.audio_filepath_key]
        with sound.opened(path) as file:
            loud = [level > self.silence_dbfs for level in levels(path, file)]
            total = file.frames / file.samplerate
        gap = max(1, round(self.min_silence_s / _WINDOW_S))
        spans = [
            piece
            for first, last in active(loud, gap)
            for piece in pieces(first * _WINDOW_S, min(last * _WINDOW_S, total), self.max_length_s)
            if piece[1] - piece[0] >= self.min_length_s
        ]
        return [self._segment(task, path, number, span) for number, span in enumerate(spans)]

    def _segment(self, task: AudioTask, path: str, number: int, span: tuple[float, float]) -> AudioTask:
        start, end = (round(1000 * time) for time in span)
        entry = {
            **task.data,
            "original_file": path,
            "original_start_ms": start,
            "original_end_ms": end,
            "segment_num": number,
            self.duration_key: (end - start) / 1000,
        }
        return AudioTask(task.dataset_name, entry, _metadata=dict(task._metadata), _stage_perf=list(task._stage_perf))


def levels(path: str, file: object) -> Iterator[float]:
    """The level of each fiftieth of a second, all channels together; the last one may be shorter."""
    import numpy as np

    size = max(1, round(getattr(file, "samplerate", 0) * _WINDOW_S))
    rest = np.zeros((0, 1), np.float32)
    for block in itertools.chain(sound.blocks(path, file), [None]):
        if block is not None:
            rest = np.concatenate([rest, block]) if len(rest) else block
        whole = len(rest) if block is None else len(rest) // size * size
        for start in range(0, whole, size):
            yield dbfs(math.sqrt(float((rest[start : start + size].astype(np.float64) ** 2).mean())))
        rest = rest[whole:]


def active(loud: Sequence[bool], gap: int) -> list[tuple[int, int]]:
    """First window, and the one after the last, of each stretch that no silence of `gap` windows interrupts."""
    spans: list[tuple[int, int]] = []
    for position, is_loud in enumerate(loud):
        if is_loud:
            if spans and position - spans[-1][1] < gap:
                spans[-1] = (spans[-1][0], position + 1)
            else:
                spans.append((position, position + 1))
    return spans


def pieces(start: float, end: float, longest: float) -> list[tuple[float, float]]:
    """Equal parts of a span, none longer than `longest`."""
    count = max(1, math.ceil((end - start) / longest - 1e-9))
    bounds = [start + (end - start) * number / count for number in range(count + 1)]
    return list(itertools.pairwise(bounds))


@dataclass
class SegmentExtractionStage(ProcessingStage[AudioTask, AudioTask]):
    """Writes the segment from `original_start_ms` to `original_end_ms` of `original_file` to a file in `output_dir`.

    `output_format` is wav, flac or ogg. The entry's `audio_filepath` becomes the new file, whose name is made of the
    original's and the time at which the segment begins.
    """

    name: str = "SegmentExtraction"
    output_dir: str = ""
    output_format: str = "wav"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("soundfile", owner)
        if not self.output_dir:
            raise ValueError(f"{owner}: output_dir must not be empty")
        self.output_format = sound.check_format(owner, "output_format", self.output_format)
        self.output_dir = storage.absolute(self.output_dir)

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], ["original_file", "original_start_ms", "original_end_ms"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], ["audio_filepath"]

    def process(self, task: AudioTask) -> AudioTask:
        """The entry with its file.

        Raises:
            ValueError: the original cannot be read, or has no sound at that time.
        """
        path = task.data["original_file"]
        start_ms, end_ms = task.data["original_start_ms"], task.data["original_end_ms"]
        name = f"{sound.unique_stem(path)}_{start_ms:010}_{end_ms:010}.{self.output_format}"
        target = storage.join(self.output_dir, name)
        with sound.opened(path) as file:
            start, stop = (ms * file.samplerate // 1000 for ms in (start_ms, end_ms))
            if not 0 <= start < min(stop, file.frames):
                raise ValueError(f"{path} has no sound from {start_ms} to {end_ms} ms")
            sound.write(target, sound.blocks(path, file, start, stop), file.samplerate, file.channels)
        task.data["audio_filepath"] = target
        return task
