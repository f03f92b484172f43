"""Sounds are measured, resampled and cut, or named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import made_media
import numpy as np
import pytest
import soundfile
from stage_loop import rows, run

from curator_slurm.executors import AudioTask
from curator_slurm.executors.stages import (
    AudioReader,
    AudioToDocumentStage,
    GetAudioDurationStage,
    GetAudioLevelStage,
    JsonlReader,
    JsonlWriter,
    ManifestReader,
    PreserveByValueStage,
    ResampleAudioStage,
    SegmentExtractionStage,
    SilenceSegmentationStage,
)
from curator_slurm.executors.stages.audio import segments, sound

FORMATS = ["wav", "flac", "ogg", "mp3", "aiff", "au"]


def entry(path: Path, **more: Any) -> AudioTask:
    return AudioTask("sounds", {"audio_filepath": str(path), **more})


def value(stage: Any, path: Path, key: str) -> Any:
    return stage.process(entry(path)).data[key]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_duration_and_level(tmp_path: Path, suffix: str, rate: int) -> None:
    path = made_media.sound(tmp_path / f"a.{suffix}", made_media.tone(1.5, rate), rate)
    assert value(GetAudioDurationStage(), path, "duration") == pytest.approx(1.5, abs=0.06)
    assert value(GetAudioLevelStage(), path, "rms_dbfs") == pytest.approx(-9.03, abs=0.3)
    assert value(GetAudioLevelStage(), path, "peak_dbfs") == pytest.approx(-6.02, abs=1.0)


@pytest.mark.parametrize(
    ("samples", "rms", "peak"),
    [
        (np.zeros(100), -120.0, -120.0),
        (np.full(100, 1e-9), -120.0, -120.0),
        (np.array([[1.0, 0.0]] * 100), -3.01, 0.0),
        (np.full(100, 0.1), -20.0, -20.0),
    ],
)
def test_level_of_what_is_known(tmp_path: Path, samples: Any, rms: float, peak: float) -> None:
    path = made_media.sound(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    task = GetAudioLevelStage().process(entry(path))
    assert (task.data["rms_dbfs"], task.data["peak_dbfs"]) == (
        pytest.approx(rms, abs=0.01),
        pytest.approx(peak, abs=0.01),
    )


STAGES = [
    GetAudioDurationStage(),
    GetAudioLevelStage(),
    ResampleAudioStage("/nowhere"),
    SilenceSegmentationStage(),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"This is a text.\n" * 99, "is not a sound that can be decoded"), (bytes(9999), "is not a")],
    ids=["empty", "text", "zeros"],
)
def test_what_is_no_sound_is_named(tmp_path: Path, stage: Any, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} {message}"):
        stage.process(entry(path))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_a_sound_without_samples_is_named(tmp_path: Path, stage: Any, suffix: str) -> None:
    path = made_media.sound(tmp_path / f"a.{suffix}", np.zeros(0), 8000)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} (has no samples|is empty)"):
        stage.process(entry(path))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_sound_is_named(tmp_path: Path, suffix: str, part: float) -> None:
    whole = made_media.sound(
        tmp_path / f"a.{suffix}", made_media.tone(3.0) + np.random.default_rng(1).normal(0, 0.1, 48000)
    )
    path = made_media.cut(whole, part)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} (is truncated|is not a sound|has no samples)"):
        GetAudioLevelStage().process(entry(path))


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = made_media.renamed(made_media.sound(tmp_path / "a.flac", made_media.tone(1.0)), "a.wav")
    assert value(GetAudioDurationStage(), path, "duration") == 1.0


def test_samples_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", np.array([0.1, np.nan, 0.2]), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"a.wav has samples that are not finite"):
        GetAudioLevelStage().process(entry(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone.wav"):
        GetAudioDurationStage().process(entry(tmp_path / "gone.wav"))


@pytest.mark.parametrize(
    ("operator", "target", "kept"),
    [
        ("lt", 2.0, [1.0]), ("le", 2.0, [1.0, 2.0]), ("eq", 2.0, [2.0]), ("ne", 2.0, [1.0, 3.0]),
        ("ge", 2.0, [2.0, 3.0]), ("gt", 2.0, [3.0]),
    ],
)  # fmt: skip
def test_values_are_compared(operator: str, target: float, kept: list[float]) -> None:
    stage = PreserveByValueStage("duration", target, operator)
    found = [stage.process(entry(Path("a.wav"), duration=duration)) for duration in (1.0, 2.0, 3.0)]
    assert [task.data["duration"] for task in found if task is not None] == kept


@pytest.mark.parametrize(("given", "target"), [("long", 1.0), (None, 1.0), (1.0, "a")])
def test_a_value_that_cannot_be_compared_is_named(given: Any, target: Any) -> None:
    with pytest.raises(ValueError, match=rf"a.wav: duration is {given!r}, which cannot be compared with {target!r}"):
        PreserveByValueStage("duration", target, "gt").process(entry(Path("a.wav"), duration=given))


def test_an_entry_without_the_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="PreserveByValueStage"):
        PreserveByValueStage("duration", 1.0, "gt").process_batch([entry(Path("a.wav"))])


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_the_tone_is_the_same_at_another_rate(tmp_path: Path, rate: int, suffix: str) -> None:
    path = made_media.sound(tmp_path / "a.wav", made_media.tone(2.5, rate), rate)
    stage = ResampleAudioStage(str(tmp_path / "out"), target_format=suffix)
    task = stage.process(entry(path))
    samples, found = soundfile.read(task.data["resampled_audio_filepath"])
    assert found == 16000
    assert len(samples) == pytest.approx(40000, abs=40)
    assert task.data["duration"] == pytest.approx(2.5, abs=0.003)
    assert abs(np.fft.rfft(samples[8000:24000])).argmax() == 440
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.03)
    assert task.data["audio_filepath"] == str(path)


@pytest.mark.parametrize(("channels", "wanted", "level"), [(2, 1, 0.25), (1, 2, 0.5), (2, 2, 0.5), (3, 1, 1 / 6)])
def test_channels(tmp_path: Path, channels: int, wanted: int, level: float) -> None:
    """The first channel has the sound."""
    samples = np.zeros((16000, channels))
    samples[:, 0] = made_media.tone(1.0)
    path = made_media.sound(tmp_path / "a.wav", samples)
    task = ResampleAudioStage(str(tmp_path / "out"), target_nchannels=wanted).process(entry(path))
    found, _ = soundfile.read(task.data["resampled_audio_filepath"], always_2d=True)
    assert found.shape == (16000, wanted)
    assert np.abs(found[:, 0]).max() == pytest.approx(level, abs=0.01)


def test_channels_that_cannot_be_made_are_an_error(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", np.zeros((100, 3)))
    with pytest.raises(ValueError, match=r"a.wav has 3 channels, which cannot become 2"):
        ResampleAudioStage(str(tmp_path / "out"), target_nchannels=2).process(entry(path))


def test_two_sounds_of_one_name_or_one_id_are_two_files(tmp_path: Path) -> None:
    paths = [made_media.sound(tmp_path / folder / "a.wav", made_media.tone(1.0)) for folder in ("x", "y")]
    stage = ResampleAudioStage(str(tmp_path / "out"))
    for more in ({}, {"audio_item_id": "one"}, {"audio_item_id": "../../ä"}):
        made = {stage.process(entry(path, **more)).data["resampled_audio_filepath"] for path in paths}
        assert len(made) == 2
        assert all(Path(path).parent == tmp_path / "out" for path in made)
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_what_is_too_loud_for_the_format_is_clipped(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", made_media.tone(1.0, loudness=3.0), subtype="FLOAT")
    task = ResampleAudioStage(str(tmp_path / "out")).process(entry(path))
    assert np.abs(soundfile.read(task.data["resampled_audio_filepath"])[0]).max() == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize(
    ("loud", "gap", "expected"),
    [
        ("", 2, []),
        ("....", 2, []),
        ("xxxx", 2, [(0, 4)]),
        (".xx.xx.", 2, [(1, 6)]),
        (".xx..xx.", 2, [(1, 3), (5, 7)]),
        ("x..x..x", 3, [(0, 7)]),
    ],
)
def test_stretches_between_silences(loud: str, gap: int, expected: list[tuple[int, int]]) -> None:
    assert segments.active([letter == "x" for letter in loud], gap) == expected


@pytest.mark.parametrize(
    ("longest", "expected"),
    [(10.0, [(0.0, 6.0)]), (6.0, [(0.0, 6.0)]), (5.0, [(0.0, 3.0), (3.0, 6.0)]), (2.0, [(0, 2), (2, 4), (4, 6)])],
)
def test_parts_of_what_is_too_long(longest: float, expected: list[tuple[float, float]]) -> None:
    assert segments.pieces(0.0, 6.0, longest) == expected


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_segments_are_what_lies_between_pauses(tmp_path: Path, rate: int, channels: int) -> None:
    parts = [
        ("pause", 0.5),
        ("tone", 1.0),
        ("pause", 0.2),
        ("tone", 1.0),
        ("pause", 1.0),
        ("tone", 0.2),
        ("pause", 0.5),
    ]
    samples = made_media.phrases(*parts, ("tone", 3.0), rate=rate)
    path = made_media.sound(tmp_path / "a.wav", np.stack([samples] * channels, axis=1), rate)
    cut = SilenceSegmentationStage(max_length_s=2.5)
    tasks = run(AudioReader(str(path)), cut, SegmentExtractionStage(output_dir=str(tmp_path / "out")))
    spans = [(task.data["original_start_ms"], task.data["original_end_ms"]) for task in tasks]
    expected = [(500, 2700), (4400, 5900), (5900, 7400)]
    assert np.abs(np.array(spans) - np.array(expected)).max() <= 40
    assert [task.data["segment_num"] for task in tasks] == [0, 1, 2]
    for task, (start, end) in zip(tasks, spans, strict=True):
        found, own = soundfile.read(task.data["audio_filepath"], always_2d=True)
        first, last = start * rate // 1000, end * rate // 1000
        assert own == rate
        assert found.shape == (last - first, channels)
        assert np.abs(found[:, 0] - samples[first:last]).max() < 1e-3
        assert task.data["duration"] == (end - start) / 1000
        assert task.data["original_file"] == str(path)
    assert len({task.data["audio_filepath"] for task in tasks}) == 3


def test_a_silent_sound_has_no_segments(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", np.zeros(16000))
    assert SilenceSegmentationStage().process(entry(path)) == []


def test_a_segment_that_is_not_in_the_sound_is_named(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", made_media.tone(1.0))
    task = AudioTask("s", {"original_file": str(path), "original_start_ms": 2000, "original_end_ms": 3000})
    with pytest.raises(ValueError, match=r"a.wav has no sound from 2000 to 3000 ms"):
        SegmentExtractionStage(output_dir=str(tmp_path / "out")).process(task)
    assert not list(tmp_path.glob("out/*"))


def test_a_long_sound_is_read_in_blocks(tmp_path: Path) -> None:
    path = made_media.sound(tmp_path / "a.wav", made_media.tone(3.3))
    with sound.opened(str(path)) as file:
        sizes = [len(block) for block in sound.blocks(str(path), file)]
    assert sizes == [16000, 16000, 16000, 4800]


def test_entries_become_rows_and_a_manifest(tmp_path: Path) -> None:
    tasks = [
        entry(Path("/a.wav"), duration=1.0, waveform=np.zeros(3)), entry(Path("/b.wav"), text="b"),
    ]  # fmt: skip
    (batch,) = AudioToDocumentStage().process_batch(tasks)
    assert batch is not None
    assert rows([batch]) == [
        {"audio_filepath": "/a.wav", "duration": 1.0, "text": None},
        {"audio_filepath": "/b.wav", "duration": None, "text": "b"},
    ]
    batch.task_id = "0_a"
    (path,) = JsonlWriter(str(tmp_path)).process(batch).data
    assert len(rows(run(JsonlReader(path)))) == 2
    assert AudioToDocumentStage().process_batch([]) == []


def test_a_manifest_can_be_moved_with_its_sounds(tmp_path: Path) -> None:
    made_media.sound(tmp_path / "old" / "raw" / "a.wav", made_media.tone(1.0))
    cut = SegmentExtractionStage(output_dir=str(tmp_path / "old" / "segments"))
    rows_of = AudioToDocumentStage(str(tmp_path / "old" / "manifest"))
    write = JsonlWriter(str(tmp_path / "old" / "manifest"))
    run(AudioReader(str(tmp_path / "old" / "raw")), SilenceSegmentationStage(), cut, rows_of, write)
    (tmp_path / "old").rename(tmp_path / "new")
    (task,) = run(ManifestReader(str(tmp_path / "new" / "manifest")), GetAudioDurationStage())
    assert Path(task.data["audio_filepath"]).parent == tmp_path / "new" / "segments"
    assert task.data["duration"] == pytest.approx(1.0, abs=0.03)


def test_values_of_different_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="values of 'n' do not fit into one column"):
        AudioToDocumentStage().process_batch([entry(Path("a"), n=1), entry(Path("b"), n="x")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PreserveByValueStage("a", 1, "is"), "operator must be lt, le, eq, ne, ge, gt, not 'is'"),
        (lambda: ResampleAudioStage(""), "resampled_audio_dir must not be empty"),
        (lambda: ResampleAudioStage("/x", target_format="mp4"), "target_format must be wav, flac, ogg, not 'mp4'"),
        (lambda: ResampleAudioStage("/x", target_sample_rate=0), "target_sample_rate must be a number, 1 or more"),
        (lambda: SegmentExtractionStage(), "output_dir must not be empty"),
        (lambda: SegmentExtractionStage(output_dir="/x", output_format="aac"), "output_format must be"),
        (lambda: SilenceSegmentationStage(min_length_s=3, max_length_s=2), "max_length_s must be a number above 3"),
        (lambda: SilenceSegmentationStage(silence_dbfs="a"), "silence_dbfs must be a number, not 'a'"),
    ],
)
def test_arguments_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
