"""Videos are read whole, or named."""

from __future__ import annotations

import importlib.util
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_media
import pytest
from PIL import Image
from stage_loop import run

from curator_slurm.executors import FileGroupTask
from curator_slurm.executors import stages as all_stages
from curator_slurm.executors.stages import VideoReader, VideoReaderStage
from curator_slurm.executors.video import ClipStats


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of several kinds, two seconds each."""
    root = tmp_path_factory.mktemp("films")
    made_media.video(root / "a.mp4", sound="aac")
    made_media.video(root / "front.mp4", options={"movflags": "faststart"})
    made_media.video(root / "b.mkv")
    made_media.video(root / "c.webm", codec="libvpx-vp9")
    made_media.video(root / "d.avi", codec="mpeg4")
    made_media.video(root / "e.mov", codec="libx264", size=(98, 66))
    return root


@pytest.mark.parametrize(
    ("name", "codec", "audio"),
    [
        ("a.mp4", "h264", "aac"),
        ("front.mp4", "h264", None),
        ("b.mkv", "h264", None),
        ("c.webm", "vp9", None),
        ("d.avi", "mpeg4", None),
        ("e.mov", "h264", None),
    ],
)
def test_a_video_is_read_with_its_metadata(folder: Path, name: str, codec: str, audio: str | None) -> None:
    (task,) = run(VideoReader(str(folder / name)))
    found = task.data.metadata
    assert (found.video_codec, found.audio_codec, found.num_frames, found.framerate) == (codec, audio, 40, 20.0)
    assert found.duration == pytest.approx(2.0, abs=0.06)
    assert (found.width, found.height) == ((98, 66) if name == "e.mov" else made_media.SIZE)
    assert found.size == len(task.data.source_bytes) == (folder / name).stat().st_size
    assert found.pixel_format == "yuv420p"
    assert found.bit_rate_k
    assert task.data.has_metadata()
    assert task.data.input_path == str(folder / name)
    assert task.num_items == 1
    assert pickle.loads(pickle.dumps(task)).data == task.data


def test_all_videos_of_a_folder_or_as_many_as_asked_for(folder: Path) -> None:
    names = ["a.mp4", "b.mkv", "c.webm", "d.avi", "e.mov", "front.mp4"]
    assert [task.data.input_video.name for task in run(VideoReader(str(folder)))] == names
    assert [task.data.input_video.name for task in run(VideoReader(str(folder), video_limit=2))] == names[:2]
    listed = VideoReader([str(folder / "c.webm"), str(folder / "a.mp4")])
    assert [task.data.input_video.name for task in run(listed)] == ["a.mp4", "c.webm"]


@pytest.mark.parametrize("name", ["a.mp4", "front.mp4", "b.mkv", "c.webm", "d.avi", "e.mov"])
@pytest.mark.parametrize("part", [0.03, 0.4, 0.9])
def test_a_truncated_video_is_named(folder: Path, name: str, part: float) -> None:
    path = made_media.cut(folder / name, part, name=f"{part}-{name}")
    try:
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} (is truncated|is not a video|has no)"):
            VideoReaderStage().process(made_media.group(path))
    finally:
        path.unlink()


def _text(path: Path) -> None:
    path.write_text("no video\n" * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(10_000))


def _sound(path: Path) -> None:
    made_media.sound(path.with_suffix(".wav"), made_media.tone(1.0)).rename(path)


def _picture(path: Path) -> None:
    Image.new("RGB", (64, 48)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text, "is not a video that can be decoded"),
        (_empty, "is empty"),
        (_zeros, "is not a video that can be decoded"),
        (_sound, "has no video stream"),
        (_picture, "is a picture"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "film.mp4"
    make(path)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} ({message})"):
        VideoReaderStage().process(made_media.group(path))


def test_a_wrong_extension_does_not_matter(folder: Path) -> None:
    path = made_media.renamed(folder / "b.mkv", "really-an-mkv.mp4")
    (task,) = run(VideoReader(str(path)))
    path.unlink()
    assert task.data.metadata.num_frames == 40


def test_a_missing_file_and_a_group_are_errors(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        VideoReaderStage().process(made_media.group(folder / "gone.mp4"))
    with pytest.raises(ValueError, match="one file at a time, not 2"):
        VideoReaderStage().process(FileGroupTask("films", ["a", "b"]))


MEDIA = {
    "av": {
        "VideoReader": {"input_video_path": "x"},
        "VideoReaderStage": {},
        "SceneChangeExtractorStage": {},
        "ClipTranscodingStage": {},
        "ClipFrameExtractionStage": {},
        "MotionVectorDecodeStage": {},
        "ClipWriter": {"path": "/x", "frames": True},
    },
    "soundfile": {
        "GetAudioDurationStage": {},
        "GetAudioLevelStage": {},
        "ResampleAudioStage": {"resampled_audio_dir": "/x"},
        "SilenceSegmentationStage": {},
        "SegmentExtractionStage": {"output_dir": "/x"},
    },
    "soxr": {"ResampleAudioStage": {"resampled_audio_dir": "/x"}},
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in MEDIA.items() for name in names])
def test_a_missing_package_is_named_before_the_run(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else real(name))
    extra = "video" if module == "av" else "audio"
    with pytest.raises(ImportError, match=rf"{name} needs .* pip install {module} \(the extra '{extra}'"):
        getattr(all_stages, name)(**MEDIA[module][name])


def test_without_the_packages_everything_can_be_imported() -> None:
    code = (
        "import sys; sys.modules.update(av=None, soundfile=None, soxr=None)\n"
        "from curator_slurm.executors.stages import *\n"
        "VideoReader; ManifestReader; FixedStrideExtractorStage(1, 1, 1, 0)\n"
        "assert not {'numpy', 'pyarrow', 'pandas', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counts_of_parts_add_up() -> None:
    counts = ClipStats(num_passed=1, max_clip_duration=3.0, total_clip_duration=3.0)
    counts.combine(ClipStats(num_passed=2, max_clip_duration=2.0, total_clip_duration=4.0))
    assert counts == ClipStats(num_passed=3, max_clip_duration=3.0, total_clip_duration=7.0)
