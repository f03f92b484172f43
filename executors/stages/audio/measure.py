"""Duration and level of sounds, and a filter by any value of an entry."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.audio import sound
from curator_slurm.executors.stages.extras import need_package
from curator_slurm.executors.tasks import AudioTask

SILENT_DBFS = -120.0
"""The level of digital silence, which has no logarithm; JSON has no infinity."""
_OPERATORS = {name: getattr(operator, name) for name in ("lt", "le", "eq", "ne", "ge", "gt")}


@dataclass
class GetAudioDurationStage(ProcessingStage[AudioTask, AudioTask]):
    """Adds the duration in seconds, from the file's header; a file that cannot be read, or has no samples, is an
    error, which names it."""

    name: str = "GetAudioDurationStage"
    audio_filepath_key: str = "audio_filepath"
    duration_key: str = "duration"

    def __post_init__(self) -> None:
        need_package("soundfile", type(self).__name__)

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.audio_filepath_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], [self.duration_key]

    def process(self, task: AudioTask) -> AudioTask:
        with sound.opened(task.data[self.audio_filepath_key]) as file:
            task.data[self.duration_key] = file.frames / file.samplerate
        self._log_metric("duration", task.data[self.duration_key])
        return task


@dataclass
class GetAudioLevelStage(ProcessingStage[AudioTask, AudioTask]):
    """Adds the mean level (RMS) and the peak over all channels, in decibels of full scale: 0 is the loudest, -120
    silence. The whole file is decoded; one that ends too early, or has samples that are no numbers, is an error."""

    audio_filepath_key: str = "audio_filepath"
    rms_key: str = "rms_dbfs"
    peak_key: str = "peak_dbfs"
    name: str = "audio_level"

    def __post_init__(self) -> None:
        need_package("soundfile", type(self).__name__)

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.audio_filepath_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], [self.rms_key, self.peak_key]

    def process(self, task: AudioTask) -> AudioTask:
        path = task.data[self.audio_filepath_key]
        squares, count, peak = 0.0, 0, 0.0
        with sound.opened(path) as file:
            for block in sound.blocks(path, file):
                squares += float((block.astype("float64") ** 2).sum())
                count += block.size
                peak = max(peak, float(abs(block).max()))
        task.data[self.rms_key] = dbfs(math.sqrt(squares / count))
        task.data[self.peak_key] = dbfs(peak)
        return task


def dbfs(amplitude: float) -> float:
    """Decibels of full scale."""
    return max(SILENT_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else SILENT_DBFS


class PreserveByValueStage(ProcessingStage[AudioTask, AudioTask]):
    """Keeps entries whose value of `input_value_key` compares with `target_value` as `operator` says: lt, le, eq, ne,
    ge or gt. An entry without the value, or with one that cannot be compared, is an error."""

    name = "PreserveByValueStage"

    def __init__(self, input_value_key: str, target_value: int | float | str, operator: str = "eq") -> None:
        if operator not in _OPERATORS:
            raise ValueError(f"PreserveByValueStage: operator must be {', '.join(_OPERATORS)}, not {operator!r}")
        self.input_value_key = input_value_key
        self.target_value = target_value
        self.operator = operator

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], [self.input_value_key]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], [self.input_value_key]

    def process(self, task: AudioTask) -> AudioTask | None:
        value: Any = task.data[self.input_value_key]
        try:
            passes = _OPERATORS[self.operator](value, self.target_value)
        except TypeError as error:
            raise ValueError(
                f"{task.data.get('audio_filepath', task.task_id)}: {self.input_value_key} is {value!r}, which cannot "
                f"be compared with {self.target_value!r}"
            ) from error
        return task if passes else None
