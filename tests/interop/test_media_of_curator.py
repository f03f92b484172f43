"""NeMo Curator's stages for audio and video that run without a GPU, on our executors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

import av  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from nemo_curator.pipeline import Pipeline  # noqa: E402
from nemo_curator.stages.audio.common import (  # noqa: E402
    GetAudioDurationStage,
    ManifestReader,
    PreserveByValueStage,
)
from nemo_curator.stages.audio.io.convert import AudioToDocumentStage  # noqa: E402
from nemo_curator.stages.audio.preprocessing.mono_conversion import MonoConversionStage  # noqa: E402
from nemo_curator.stages.resources import Resources  # noqa: E402
from nemo_curator.stages.text.io.writer import JsonlWriter  # noqa: E402

from curator_slurm.executors import RayActorPoolExecutor, RayDataExecutor, XennaExecutor  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
OURS: dict[str, Callable[[], Any]] = {
    "xenna": XennaExecutor,
    "ray_data": RayDataExecutor,
    "ray_actor_pool": RayActorPoolExecutor,
}


@pytest.mark.parametrize("name", OURS)
def test_its_audio_stages_on_each_executor(name: str, connected: object, tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.wav")
        soundfile.write(paths[-1], np.full((8000 * (1 + number % 3), 2), 0.1), 8000)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps({"audio_filepath": str(path)}) + "\n" for path in paths))
    stages = [
        GetAudioDurationStage(),
        PreserveByValueStage("duration", 2.0, "ge"),
        MonoConversionStage(output_sample_rate=8000),
        AudioToDocumentStage(),
    ]
    small = [stage.with_(resources=Resources(cpus=0.5), num_workers=1) for stage in stages]  # each imports PyTorch
    pipeline = Pipeline("audio", stages=[ManifestReader(str(manifest)), *small, JsonlWriter(str(tmp_path / "out"))])
    pipeline.run(OURS[name]())
    rows = [json.loads(line) for path in (tmp_path / "out").iterdir() for line in path.read_text().splitlines()]
    assert {row["audio_filepath"] for row in rows} == {str(path) for n, path in enumerate(paths) if n % 3}
    assert Counter(row["duration"] for row in rows) == {2.0: 4, 3.0: 4}
    assert all(row["is_mono"] for row in rows)


def run(spec: Path, runs: Path) -> Path:
    """The outputs of a spec, run as the example's README says."""
    assert shutil.which("ffprobe"), "NeMo Curator's stages run ffmpeg and ffprobe: make test-curator installs them"
    own = {"CURATOR_SLURM_RUNS": str(runs), "XDG_STATE_HOME": str(runs.parent / "state")}
    done = subprocess.run(
        [Path(sys.executable).with_name("curator-slurm"), "run", spec, "--cluster", "local", "--json"],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **own},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return Path(json.loads(done.stdout)["paths"]["outputs"])


def test_the_example_for_audio_with_its_stages(tmp_path: Path) -> None:
    outputs = run(EXAMPLES / "audio" / "nemo_curator.yaml", tmp_path / "runs")
    lines = [line for path in (outputs / "manifest").iterdir() for line in path.read_text().splitlines()]
    entries = [json.loads(line) for line in lines]
    assert len({entry["audio_filepath"] for entry in entries}) == len(entries) == 45
    for entry in entries:
        sound = soundfile.info(outputs / "16k" / Path(entry["resampled_audio_filepath"]).name)  # published since
        assert (sound.samplerate, sound.channels) == (16000, 1)
        assert abs(sound.duration - 4.5) < 0.1


def test_the_example_for_video_with_its_stages(tmp_path: Path) -> None:
    outputs = run(EXAMPLES / "video" / "nemo_curator.yaml", tmp_path / "runs")
    clips = sorted((outputs / "clips").iterdir())
    assert len(clips) == 3 * 4
    for path in clips:
        with av.open(str(path)) as clip:
            assert clip.streams.video[0].codec_context.name.endswith("vp9")
            assert sum(1 for _ in clip.decode(video=0)) == 36
    metas = [json.loads(path.read_text()) for path in (outputs / "metas" / "v0").iterdir()]
    assert {meta["span_uuid"] for meta in metas} == {path.stem for path in clips}
