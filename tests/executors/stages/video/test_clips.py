"""From spans to files and rows: transcoding, frames, filters, records."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import made_media
import numpy as np
import pytest
from PIL import Image
from stage_loop import rows, run

from curator_slurm.executors import Clip, Video, VideoMetadata, VideoTask
from curator_slurm.executors.stages import (
    ClipFrameExtractionStage,
    ClipQualityFilterStage,
    ClipTranscodingStage,
    ClipWriter,
    FixedStrideExtractorStage,
    MotionFilterStage,
    MotionVectorDecodeStage,
    ParquetReader,
    ParquetWriter,
    VideoReader,
)
from curator_slurm.executors.stages.video import clip_frames, motion

SCENES = (("moving", 1.0), ("still", 1.0), ("black", 1.0), ("moving", 1.0))
BY_SECOND = FixedStrideExtractorStage(1.0, 1.0, 0.5, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    made_media.video(root / "film.mp4", SCENES, sound="aac")
    made_media.video(root / "odd.mkv", SCENES, size=(98, 66), sound="flac")
    made_media.video(root / "vp9.webm", SCENES, codec="libvpx-vp9", sound="libopus")
    made_media.video(root / "late.avi", SCENES, codec="mpeg4", sound="pcm_u8")
    return root


def clips_of(*stages: Any) -> list[Clip]:
    return [clip for task in run(*stages) for clip in task.data.clips]


def decoded(content: bytes) -> Iterator[Any]:
    with av.open(io.BytesIO(content)) as container:
        yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


@pytest.mark.parametrize("name", ["film.mp4", "odd.mkv", "vp9.webm", "late.avi"])
@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_each_clip_is_a_video_of_its_own_frames(folder: Path, name: str, encoder: str) -> None:
    clips = clips_of(VideoReader(str(folder / name)), BY_SECOND, ClipTranscodingStage(encoder=encoder))
    shown = made_media.pictures(SCENES)
    assert len(clips) == 4
    for second, clip in enumerate(clips):
        frames = list(decoded(clip.buffer or b""))
        assert len(frames) == made_media.RATE
        for offset in (0, 10, 19) if name == "film.mp4" else ():
            expected = shown[second * made_media.RATE + offset].astype(int)
            assert abs(frames[offset] - expected).mean() < (12 if encoder == "libx264" else 25), (second, offset)


@pytest.mark.parametrize(
    ("name", "audio"), [("film.mp4", "aac"), ("odd.mkv", "flac"), ("vp9.webm", "opus"), ("late.avi", "pcm_u8")]
)
def test_sound_is_copied_or_said_to_be_missing(folder: Path, name: str, audio: str) -> None:
    for clip in clips_of(VideoReader(str(folder / name)), BY_SECOND, ClipTranscodingStage()):
        with av.open(io.BytesIO(clip.buffer or b"")) as container:
            if not container.streams.audio:
                assert audio in clip.errors["audio"]
                continue
            stream = container.streams.audio[0]
            samples = sum(frame.samples for frame in container.decode(stream))
            assert stream.codec_context.name == audio
            assert samples / stream.codec_context.sample_rate == pytest.approx(1.0, abs=0.15)
            assert not clip.errors


def test_many_clips_become_several_tasks(folder: Path) -> None:
    tasks = run(VideoReader(str(folder / "film.mp4")), BY_SECOND, ClipTranscodingStage(num_clips_per_chunk=3))
    assert [len(task.data.clips) for task in tasks] == [3, 1]
    assert [(task.data.clip_chunk_index, task.data.num_clip_chunks) for task in tasks] == [(0, 2), (1, 2)]
    assert [task.data.fraction for task in tasks] == [0.75, 0.25]
    assert all(task.data.source_bytes is None for task in tasks)
    assert len({task.task_id for task in tasks}) == 2


def test_a_video_without_clips_goes_through_everything(folder: Path, tmp_path: Path) -> None:
    too_short = FixedStrideExtractorStage(60.0, 60.0, 50.0, 0)
    out = run(
        VideoReader(str(folder / "film.mp4")), too_short, ClipTranscodingStage(), ClipFrameExtractionStage(),
        ClipQualityFilterStage(), MotionVectorDecodeStage(), MotionFilterStage(), ClipWriter(str(tmp_path)),
        ParquetWriter(str(tmp_path / "records")),
    )  # fmt: skip
    assert [task.data for task in out] == [[]]


def test_a_clip_that_is_not_in_the_video_is_named(folder: Path) -> None:
    (task,) = run(VideoReader(str(folder / "film.mp4")))
    task.data.clips = [Clip(uuid4(), "film.mp4", (90.0, 91.0))]
    with pytest.raises(ValueError, match=r"film.mp4, 90.00 to 91.00 s, has no frames"):
        ClipTranscodingStage().process(task)


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"no encoder 'h265_of_mine'; it has .*libx264"):
        ClipTranscodingStage(encoder="h265_of_mine").setup()


@pytest.mark.parametrize(("rate", "count"), [(2, 2), (1, 1), (20, 20), (100, 20), (0.5, 1), (3, 3)])
def test_frames_at_a_rate(folder: Path, rate: float, count: int) -> None:
    clips = clips_of(
        VideoReader(str(folder / "film.mp4")), BY_SECOND, ClipTranscodingStage(),
        ClipFrameExtractionStage(target_fps=[rate]),
    )  # fmt: skip
    for clip in clips:
        (found,) = clip.extracted_frames.values()
        assert found.shape == (count, 64, 96, 3)
        assert found.dtype == np.uint8
        assert clip.get_major_size() == len(clip.buffer or b"") + found.nbytes


def test_frames_of_each_policy_and_size(folder: Path) -> None:
    stage = ClipFrameExtractionStage(("first", "middle", "last", "sequence"), (32, 48), target_fps=[4, 2])
    (first, *_) = clips_of(VideoReader(str(folder / "film.mp4")), BY_SECOND, ClipTranscodingStage(), stage)
    shapes = {key: value.shape for key, value in first.extracted_frames.items()}
    assert shapes == {
        **{f"{policy}-{rate}": (1, 32, 48, 3) for policy in ("first", "middle", "last") for rate in (4000, 2000)},
        "sequence-4000": (4, 32, 48, 3),
        "sequence-2000": (2, 32, 48, 3),
    }
    sequence = first.extracted_frames["sequence-4000"]
    assert (first.extracted_frames["middle-4000"][0] == sequence[2]).all()
    assert (first.extracted_frames["last-4000"][0] == sequence[-1]).all()


@pytest.mark.parametrize("stage", [ClipFrameExtractionStage(), MotionVectorDecodeStage(), ClipWriter("/nowhere")])
def test_a_clip_that_was_not_transcoded_is_an_error(stage: Any) -> None:
    clip = Clip(uuid4(), "film.mp4", (0.0, 1.0))
    with pytest.raises(ValueError, match=r"of film.mp4 has no content: stage .* needs ClipTranscodingStage before"):
        stage.process(VideoTask("films", Video(Path("film.mp4"), clips=[clip])))


@pytest.mark.parametrize(
    ("stage", "needed"),
    [(MotionFilterStage(), "MotionVectorDecodeStage"), (ClipQualityFilterStage(), "ClipFrameExtractionStage")],
)
def test_a_filter_without_what_it_filters_by_is_an_error(stage: Any, needed: str) -> None:
    clip = Clip(uuid4(), "film.mp4", (0.0, 1.0), buffer=b"x")
    with pytest.raises(ValueError, match=f"film.mp4 has no .* needs {needed} before"):
        stage.process(VideoTask("films", Video(Path("film.mp4"), clips=[clip])))


def test_only_what_moves_is_kept(folder: Path) -> None:
    stages = (VideoReader(str(folder / "film.mp4")), BY_SECOND, ClipTranscodingStage(), MotionVectorDecodeStage())
    (task,) = run(*stages, MotionFilterStage())
    assert [clip.span[0] for clip in task.data.clips] == [0.0, 3.0]
    assert [clip.span[0] for clip in task.data.filtered_clips] == [1.0, 2.0]
    assert task.data.clip_stats.num_filtered_by_motion == 2
    assert min(clip.motion_score_global_mean or 0 for clip in task.data.clips) > 0.002
    assert task.data.clips[0].decoded_motion_data is None
    (scored,) = run(*stages, MotionFilterStage(score_only=True))
    assert len(scored.data.clips) == 4


def test_the_motion_is_that_of_the_picture(tmp_path: Path) -> None:
    """The camera moves two pixels a frame, over a picture without an end."""
    path = made_media.video(
        tmp_path / "film.mp4", [("moving", 2.0)], size=(320, 256), encoding={"bf": "0", "refs": "1"}
    )
    found = motion.motion(path.read_bytes(), "film", 20.0, 100)
    mean, calmest = motion.motion_scores(found)
    assert mean == pytest.approx(2 / (320 + 256), rel=0.2)
    assert 0 < calmest <= mean * 1.01


@pytest.mark.parametrize("rate", [0.5, 2.0, 7.0])
def test_no_moving_film_seems_to_stand_still(tmp_path: Path, rate: float) -> None:
    """Frames may be predicted from later ones alone, or from one that is far away."""
    scores = []
    for number in range(4):
        path = made_media.video(
            tmp_path / f"{number}.mp4", [("still", 0.1)] * number + [("moving", 1.5)], size=(160, 128)
        )
        mean, _ = motion.motion_scores(motion.motion(path.read_bytes(), "film", rate, 100))
        scores.append(mean)
    assert min(scores) > 1 / (160 + 128), scores


def test_the_calmest_square_counts() -> None:
    fields = np.zeros((3, 32, 32), np.float32)
    fields[:, :, 16:] = 0.5
    assert motion.motion_scores(fields) == (0.25, 0.0)
    assert motion.motion_scores(np.zeros((0, 4, 4), np.float32)) == (0.0, 0.0)


def test_a_codec_without_motion_vectors_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"film is \S*vp9, whose decoder tells no motion vectors.*libx264"):
        motion.motion((folder / "vp9.webm").read_bytes(), "film", 2.0, 10)


@pytest.mark.parametrize(
    ("value", "kept"),
    [(0, False), (255, False), (128, False), ("noise", True)],
    ids=["black", "white", "grey", "noise"],
)
def test_dark_bright_and_flat_clips_are_left_out(value: Any, kept: bool) -> None:
    shape = (2, 32, 32, 3)
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    frames = noise if value == "noise" else np.full(shape, value, np.uint8)
    clip = Clip(uuid4(), "film.mp4", (0.0, 1.0), extracted_frames={"sequence-2000": frames})
    task = ClipQualityFilterStage(min_sharpness=1.0).process(VideoTask("f", Video(Path("film.mp4"), clips=[clip])))
    assert task.data.clips == ([clip] if kept else [])
    assert task.data.clip_stats.num_filtered_by_quality == (not kept)
    assert set(clip.scores) == {"brightness", "contrast", "sharpness"}
    if value != "noise":
        assert clip.scores["brightness"] == pytest.approx(value / 255)
        assert clip.scores["sharpness"] == pytest.approx(0, abs=1e-3)


def test_clips_and_rows_are_written(folder: Path, tmp_path: Path) -> None:
    stages = (
        VideoReader(str(folder / "film.mp4")), BY_SECOND, ClipTranscodingStage(), MotionVectorDecodeStage(),
        MotionFilterStage(), ClipFrameExtractionStage(),
        ClipWriter(str(tmp_path), frames=True, include_filtered=True), ParquetWriter(str(tmp_path / "records")),
    )  # fmt: skip
    run(*stages)
    found = rows(run(ParquetReader(str(tmp_path / "records"))))
    assert [row["kept"] for row in found] == [True, True, False, False]
    assert {row["source_video"] for row in found} == {str(folder / "film.mp4")}
    assert [(row["start_s"], round(row["end_s"])) for row in found] == [(0, 1), (3, 4), (1, 2), (2, 3)]
    files = sorted((tmp_path / "clips").iterdir())
    assert sorted(row["clip_path"] for row in found if row["kept"]) == [f"clips/{path.name}" for path in files]
    assert all(row["clip_path"] is None for row in found if not row["kept"])
    assert all(len(list(decoded(path.read_bytes()))) == made_media.RATE for path in files)
    pictures = sorted((tmp_path / "frames").iterdir())
    assert len(pictures) == sum(row["frames"] for row in found) == 4
    with Image.open(pictures[0]) as picture:
        assert (picture.format, picture.size) == ("JPEG", made_media.SIZE)
    run(*stages)
    assert sorted((tmp_path / "clips").iterdir()) == files


def test_columns_have_their_types_whatever_is_null(tmp_path: Path) -> None:
    clip = Clip(uuid4(), "film.mp4", (0.0, 1.0), buffer=b"x", errors={"audio": "none"})
    video = Video(Path("film.mp4"), metadata=VideoMetadata(), clips=[clip])
    batch = ClipWriter(str(tmp_path)).process(VideoTask("films", video))
    empty = ClipWriter(str(tmp_path)).process(VideoTask("films", Video(Path("film.mp4"))))
    assert batch.data.schema == empty.data.schema
    assert not [field.name for field in batch.data.schema if str(field.type) == "null"]
    assert batch.data["errors"].to_pylist() == ["audio: none"]


def test_a_broken_clip_is_named(folder: Path, tmp_path: Path) -> None:
    """A header that is whole, and content that is none."""
    content = bytearray((folder / "film.mp4").read_bytes())
    first = content.index(b"mdat") + 600
    content[first : first + 1500] = bytes(1500)
    path = tmp_path / "broken.mp4"
    path.write_bytes(bytes(content))
    (task,) = run(VideoReader(str(path)), BY_SECOND)
    with pytest.raises(ValueError, match=r"broken.mp4, 0.00 to 1.00 s, is not a video that can be decoded"):
        ClipTranscodingStage().process(task)


def test_the_keys_of_frames_say_policy_and_rate() -> None:
    assert clip_frames.signature("first", 0.5) == "first-500"
