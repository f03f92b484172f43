"""Sounds made of nothing, in place of a download: syllables of tones with pauses, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curator_slurm.executors import EmptyTask, FileGroupTask, ProcessingStage

RATES = (8000, 16000, 44100, 48000)
FORMATS = ("wav", "flac", "ogg")
PHRASES = 3
"""Of every good sound, one second each, with pauses of half a second."""
PHRASE_S, PAUSE_S = 1.0, 0.5
KINDS = {5: "quiet", 9: "short", 13: "empty", 17: "truncated", 18: "a text", 19: "missing"}
"""Number of a sound, of each twenty -> what it is instead of a good one."""


class Recordings(ProcessingStage[EmptyTask, FileGroupTask]):
    """Writes sounds and the manifest that lists them; without broken ones, if so asked."""

    name = "recordings"

    def __init__(self, sounds: int, folder: str, broken: bool = True) -> None:
        self.sounds = sounds
        self.folder = folder
        self.broken = broken

    def process(self, _: EmptyTask) -> FileGroupTask:
        return FileGroupTask("sounds", [str(manifest(self.sounds, Path(self.folder), self.broken))])


def kind_of(number: int) -> str:
    """What is the matter with a sound, or `good`."""
    return KINDS.get(number % 20, "good")


def record(number: int, folder: Path) -> str:
    """Write the sound with this number, and give its name; the same number gives the same sound."""
    import soundfile

    kind = kind_of(number)
    suffix = "wav" if kind in ("truncated", "empty") else FORMATS[number % len(FORMATS)]
    path = folder / f"sound-{number:04}.{suffix}"
    rate = RATES[number % len(RATES)]
    if kind == "a text":
        path.write_text("This is a text, whatever its name says.\n")
    elif kind != "missing":
        soundfile.write(path, samples(number, rate), rate)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def samples(number: int, rate: int) -> npt.NDArray[np.float64]:
    """The sound as it is to be, in one or two channels."""
    kind = kind_of(number)
    chance = np.random.default_rng(number)
    parts = [_phrase(chance, rate), np.zeros(int(PAUSE_S * rate))] * PHRASES
    whole = {"empty": np.zeros(0), "short": parts[0][: rate // 10]}.get(kind, np.concatenate(parts))
    loudness = 0.0005 if kind == "quiet" else 0.5
    return loudness * (np.stack([whole, 0.8 * whole], axis=1) if number % 2 else whole)


def _phrase(chance: np.random.Generator, rate: int) -> npt.NDArray[np.float64]:
    """Four syllables: a tone with two overtones, each of its own pitch."""
    time = np.arange(int(PHRASE_S * rate / 4)) / rate
    rise = np.minimum(1, 40 * np.minimum(time, time[::-1]))
    syllables = []
    for pitch in chance.uniform(120, 400, 4):
        syllables.append(rise * sum(np.sin(2 * np.pi * pitch * part * time) / part for part in (1, 2, 3)) / 2)
    return np.concatenate(syllables)


def manifest(count: int, folder: Path, broken: bool = True) -> Path:
    """Write so many sounds and a manifest that lists them, with a line that is not JSON if any are broken."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [number for number in range(count) if broken or kind_of(number) in ("good", "quiet", "short")]
    names = [record(number, folder) for number in numbers]
    paths = names if broken else [str(folder / name) for name in names]  # NeMo Curator takes none that are relative
    lines = [json.dumps({"audio_filepath": path, "speaker": f"s{number % 7}"}) for number, path in enumerate(paths)]
    if broken:
        lines.insert(count // 2, '{"audio_filepath": "sound-0000.wav", "spea')
    path = folder / "manifest.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
