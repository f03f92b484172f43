"""Where videos are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_media
import pytest
from stage_loop import run

from curator_slurm.executors import Video, VideoTask
from curator_slurm.executors.stages import FixedStrideExtractorStage, SceneChangeExtractorStage, VideoReader
from curator_slurm.executors.stages.video.clip_spans import fixed_spans, scene_spans


@pytest.mark.parametrize(
    ("duration", "length", "stride", "shortest", "expected"),
    [
        (10.0, 4.0, 4.0, 1.0, [(0, 4), (4, 8), (8, 10)]),
        (10.0, 4.0, 4.0, 2.5, [(0, 4), (4, 8)]),
        (10.0, 4.0, 3.0, 4.0, [(0, 4), (3, 7), (6, 10)]),
        (5.0, 2.0, 3.0, 0.0, [(0, 2), (3, 5)]),
        (0.5, 2.0, 2.0, 1.0, []),
        (4.0, 4.0, 4.0, 4.0, [(0, 4)]),
    ],
)
def test_fixed_distances(
    duration: float, length: float, stride: float, shortest: float, expected: list[tuple[float, float]]
) -> None:
    assert list(fixed_spans(duration, length, stride, shortest)) == expected


def test_a_long_video_has_no_rounding_error() -> None:
    spans = list(fixed_spans(3600.0, 0.1, 0.1, 0.05))
    assert len(spans) == 36_000
    assert spans[-1][0] == pytest.approx(3599.9)


@pytest.mark.parametrize(
    ("cuts", "shortest", "longest", "mode", "expected"),
    [
        ([], 1.0, None, "stride", [(0, 10)]),
        ([4.0], 1.0, None, "stride", [(0, 4), (4, 10)]),
        ([4.0, 4.5], 1.0, None, "stride", [(0, 4), (4.5, 10)]),
        ([4.0], 1.0, 5.0, "truncate", [(0, 4), (4, 9)]),
        ([4.0], 1.0, 4.0, "stride", [(0, 4), (4, 8), (8, 10)]),
        ([4.0], 2.5, 4.0, "stride", [(0, 4), (4, 8)]),
    ],
)
def test_scenes(cuts: list[float], shortest: float, longest: float | None, mode: str, expected: Any) -> None:
    assert scene_spans(cuts, 10.0, shortest, longest, mode) == expected


SCENES = (("moving", 1.0), ("black", 1.0), ("still", 0.3), ("moving", 1.2))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_media.video(tmp_path_factory.mktemp("films") / "film.mp4", SCENES)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm"])
def test_a_cut_is_where_the_picture_changes(film: Path, name: str) -> None:
    path = film.with_name(name)
    if not path.exists():
        made_media.video(path, SCENES, codec="libvpx-vp9" if name.endswith("webm") else "libx264")
    (task,) = run(VideoReader(str(path)), SceneChangeExtractorStage(min_length_s=0.5))
    found = [tuple(round(time, 2) for time in clip.span) for clip in task.data.clips]
    assert found == [(0.0, 1.0), (1.0, 2.0), (2.3, pytest.approx(3.5, abs=0.06))]
    assert task.data.num_total_clips == 3
    assert task.data.source_bytes is not None


def test_ids_are_the_same_in_every_run_and_differ_between_clips(film: Path) -> None:
    def ids() -> list[str]:
        (task,) = run(VideoReader(str(film)), FixedStrideExtractorStage(1.0, 0.5, 0.2, 0))
        return [str(clip.uuid) for clip in task.data.clips]

    assert ids() == ids()
    assert len(set(ids())) == 7


def test_no_more_clips_than_asked_for(film: Path) -> None:
    for stage in (FixedStrideExtractorStage(0.5, 0.5, 0.2, 2), SceneChangeExtractorStage(limit_clips=2)):
        (task,) = run(VideoReader(str(film)), stage)
        assert len(task.data.clips) == 2


def test_a_video_that_was_not_read_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"film.mp4: stage 'fixed_stride_extractor' needs a video that VideoReader"):
        FixedStrideExtractorStage(1, 1, 1, 0).process(VideoTask("films", Video(Path("film.mp4"))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedStrideExtractorStage(0, 1, 1, 0), "clip_len_s must be a number above 0, not 0"),
        (lambda: FixedStrideExtractorStage(1, -1, 1, 0), "clip_stride_s must be a number above 0"),
        (lambda: FixedStrideExtractorStage(1, 1, "a", 0), "min_clip_length_s must be a number, 0 or more, not 'a'"),
        (lambda: FixedStrideExtractorStage(1, 1, 1, -1), "limit_clips must be"),
        (lambda: SceneChangeExtractorStage(threshold=0), "threshold must be"),
        (lambda: SceneChangeExtractorStage(min_length_s=3, max_length_s=2), "max_length_s must be a number above 3"),
        (lambda: SceneChangeExtractorStage(max_length_mode="cut"), "must be truncate or stride, not 'cut'"),
    ],
)
def test_arguments_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
