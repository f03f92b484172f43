"""Writes sounds at one sample rate, with one number of channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.audio import sound
from curator_slurm.executors.stages.extras import need_number, need_package
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import file_stem
from curator_slurm.executors.tasks import AudioTask

if TYPE_CHECKING:
    from curator_slurm.executors.stages.audio.sound import Samples


@dataclass
class ResampleAudioStage(ProcessingStage[AudioTask, AudioTask]):
    """Writes every sound to `resampled_audio_dir` at `target_sample_rate`, with `target_nchannels` channels.

    The entry keeps its path and gets the new one, the new file's duration, and an id unless it has one. File names are
    made of the id and a digest of the path, so that two sounds with one id are two files. One channel is the mean of
    all; several are made of one channel by repeating it.
    """

    resampled_audio_dir: str
    target_sample_rate: int = 16000
    target_format: str = "wav"
    target_nchannels: int = 1
    audio_filepath_key: str = "audio_filepath"
    resampled_audio_filepath_key: str = "resampled_audio_filepath"
    duration_key: str = "duration"
    audio_item_id_key: str = "audio_item_id"
    name: str = "ResampleAudio"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        need_package("soundfile", owner)
        need_package("soxr", owner)
        need_number(owner, least=1, target_sample_rate=self.target_sample_rate, target_nchannels=self.target_nchannels)
        if not self.resampled_audio_dir:
            raise ValueError(f"{owner}: resampled_audio_dir must not be empty")
        self.target_format = sound.check_format(owner, "target_format", self.target_format)
        self.resampled_audio_dir = storage.absolute(self.resampled_audio_dir)

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.audio_filepath_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], [self.resampled_audio_filepath_key, self.duration_key, self.audio_item_id_key]

    def process(self, task: AudioTask) -> AudioTask:
        """The entry with the new file.

        Raises:
            ValueError: the sound cannot be read, or its channels cannot become so many.
        """
        path = task.data[self.audio_filepath_key]
        own = sound.unique_stem(path)
        given = task.data.get(self.audio_item_id_key)
        stem = own if given is None else f"{file_stem(str(given))[:100]}_{own[-8:]}"
        target = storage.join(self.resampled_audio_dir, f"{stem}.{self.target_format}")
        with sound.opened(path) as file:
            channels = _mixed(path, sound.blocks(path, file), file.channels, self.target_nchannels)
            parts = resampled(channels, file.samplerate, self.target_sample_rate, self.target_nchannels)
            written = sound.write(target, parts, self.target_sample_rate, self.target_nchannels)
        task.data[self.audio_item_id_key] = own if given is None else given
        task.data[self.resampled_audio_filepath_key] = target
        task.data[self.duration_key] = written / self.target_sample_rate
        return task


def resampled(parts: Iterator[Samples], rate: int, target: int, channels: int) -> Iterator[Samples]:
    """The same sound at another rate, block by block."""
    import numpy as np
    import soxr

    if rate == target:
        yield from parts
        return
    stream: Any = soxr.ResampleStream(rate, target, channels, dtype="float32")
    for part in parts:
        yield stream.resample_chunk(np.ascontiguousarray(part)).reshape(-1, channels)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels)


def _mixed(path: str, parts: Iterator[Samples], channels: int, wanted: int) -> Iterator[Samples]:
    if channels != wanted and 1 not in (channels, wanted):
        raise ValueError(
            f"{path} has {channels} channels, which cannot become {wanted}: target_nchannels=1 takes the mean"
        )
    for part in parts:
        if channels == wanted:
            yield part
        elif wanted == 1:
            yield part.mean(axis=1, keepdims=True)
        else:
            yield part.repeat(wanted, axis=1)
