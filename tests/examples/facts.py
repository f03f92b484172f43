"""What must be true of the outputs of each example, wherever it ran."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import pyarrow.dataset as dataset
import soundfile

from curator_slurm.executors.stages.deduplication.minhash import MinHasher
from curator_slurm.executors.stages.deduplication.verification import representatives

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTED_ELSEWHERE = {"array": "test_array_example.py", "site": "test_docs_admin.py"}
"""Examples that take several commands or are no runs: a file below tests/ for each."""
SPECS = sorted(path for path in EXAMPLES.glob("*/spec.yaml") if path.parent.name not in TESTED_ELSEWHERE)

ON_SLURM = ("classification", "deduplication")
"""Run by the suite on two nodes of the real Slurm where there is one, and not on this machine alone, too."""

FEWER = {"deduplication": ["--set", "pipeline.args.files_of_each=50"]}
"""Options with which the suite runs it on Slurm: less input, the same facts."""


def module(example: str, name: str) -> ModuleType:
    """A module of an example, beside which others of the same name may be loaded."""
    path = EXAMPLES / example / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{example}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(path.parent))
    return loaded


def report(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def classification(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """Files are what their endings say, whatever the classifier's own file says of it."""
    table = dataset.dataset(outputs / "documents").to_table().to_pydict()
    assert len(set(table["path"])) == len(table["path"]) > 300
    pairs = list(zip(table["known_type"], table["content_type"], strict=True))
    assert sum(known == kind for known, kind in pairs) / len(pairs) > 0.95
    for kind in ("python", "json", "elf"):
        of_kind = [found for known, found in pairs if known == kind]
        assert of_kind.count(kind) / len(of_kind) > 0.97, kind
    assert min(table["content_score"]) >= 0.9
    found = report(outputs / "content_types.json")
    assert found["files"] == sum(found["content_types"].values()) == len(pairs)
    assert found["accuracy"] == round(sum(known == kind for known, kind in pairs) / len(pairs), 4)


def deduplication(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """Every document is kept, or dropped for a reason that is counted; no two that are kept are alike."""
    kept = [json.loads(line) for path in outputs.glob("unique/*.jsonl") for line in path.read_text().splitlines()]
    counts = report(outputs / "report.json")
    assert counts["unique"] == len(kept) > counts["documents"] // 4 > 100
    assert {"docstring", "licence", "description"} <= {document["kind"] for document in kept}
    dropped = [counts[reason] for reason in ("exact_duplicates", "low_quality", "near_duplicates")]
    assert min(dropped) > 0
    assert counts["documents"] - sum(dropped) == len(kept)
    assert sum(counts["dropped_by"].values()) == counts["low_quality"]
    assert {"word_count", "punctuation", "repeating_dup_5gram"} <= set(counts["dropped_by"])
    assert counts["exact_duplicates"] == dataset.dataset(outputs / "duplicates.parquet").count_rows()
    assert counts["near_duplicates"] == dataset.dataset(outputs / "near_duplicates.parquet").count_rows()
    assert len({" ".join(document["text"].split()) for document in kept}) == len(kept)
    ngrams = MinHasher(1).ngrams
    assert representatives((ngrams(document["text"]) for document in kept), 0.97) == list(range(len(kept)))
    assert [entry["pipeline"] for entry in progress["earlier"]] == [
        "exact: find duplicates", "exact",
        "fuzzy: signatures", "fuzzy: near-duplicates", "fuzzy: candidates", "fuzzy: verification",
    ]  # fmt: skip


def autoscaling(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """The pool of the expensive stage has grown, and what is the same again and again is gone."""
    table = dataset.dataset(outputs / "documents").to_table().to_pydict()
    assert len(set(table["path"])) == len(table["path"]) > 50
    assert min(table["density"]) > 0.15
    assert max(table["density"]) < 0.7
    peaks = {stage["name"]: stage["workers_peak"] for stage in progress["stages"]}
    assert peaks["measure_density"] >= 2, peaks


def images(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """Exactly the good images are left; each broken one is on record."""
    kind_of = module("images", "drawing").kind_of
    kinds = [kind_of(number) for number in range(200)]
    assert set(kinds) == {"good", "copy", "tiny", "blurred", "broken"}
    table = dataset.dataset(outputs / "metadata").to_table().to_pydict()
    kept = sorted(int(Path(path).stem) for path in table["path"])
    assert kept == [number for number, kind in enumerate(kinds) if kind == "good"]
    assert sorted(int(path.stem) for path in (outputs / "thumbnails").iterdir()) == kept
    assert all(b"JFIF" in path.read_bytes()[:16] for path in (outputs / "thumbnails").iterdir())
    records = [json.loads(line) for line in failures.read_text().splitlines()]
    assert {record["stage"] for record in records} == {"inspect"}
    assert len(records) == kinds.count("broken") == progress["totals"]["tasks_failed"]
    counts = report(outputs / "images.json")
    assert (counts["decoded"], counts["copies"]) == (200 - kinds.count("broken"), kinds.count("copy"))


def video(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """Exactly the scenes in which something moves are left of each good film; each broken film is on record."""
    filming = module("video", "filming")
    kinds = [filming.kind_of(number) for number in range(12)]
    rows = dataset.dataset(outputs / "records").to_table().to_pylist()
    kept = [row for row in rows if row["kept"]]
    good = [number for number, kind in enumerate(kinds) if kind == "good"]
    films = Counter(int(Path(row["source_video"]).stem.removeprefix("film-")) for row in kept)
    assert films == dict.fromkeys(good, filming.SCENES.count("moving"))
    assert len(rows) == len(good) * len(filming.SCENES)
    starts = {round(row["start_s"], 1) for row in kept}
    assert starts == {filming.SCENE_S * n for n, scene in enumerate(filming.SCENES) if scene == "moving"}
    clips = sorted(f"clips/{path.name}" for path in (outputs / "clips").iterdir())
    assert clips == sorted(row["clip_path"] for row in kept)
    for path in clips:
        with av.open(str(outputs / path)) as clip:
            frames = sum(1 for _ in clip.decode(video=0))
        assert frames == filming.SCENE_S * filming.RATE
    assert len(list((outputs / "frames").glob("*.jpg"))) == sum(row["frames"] for row in kept) == 3 * len(kept)
    records = [json.loads(line) for line in failures.read_text().splitlines()]
    assert {record["stage"] for record in records} == {"video_reader"}
    assert len(records) == len(kinds) - len(good) == progress["totals"]["tasks_failed"] == 3


def audio(outputs: Path, progress: dict[str, Any], failures: Path) -> None:
    """Each good sound is three segments, no other one is any, and each broken one is on record, and a broken line."""
    tones = module("audio", "tones")
    kinds = [tones.kind_of(number) for number in range(100)]
    lines = [line for path in (outputs / "manifest").iterdir() for line in path.read_text().splitlines()]
    entries = [json.loads(line) for line in lines]
    found = Counter(int(Path(entry["original_file"]).stem.split("_")[0].removeprefix("sound-")) for entry in entries)
    assert found == {number: tones.PHRASES for number, kind in enumerate(kinds) if kind == "good"}
    for entry in entries:
        sound = soundfile.info(outputs / "manifest" / entry["audio_filepath"])
        assert (sound.samplerate, sound.channels, sound.format) == (16000, 1, "FLAC")
        assert abs(sound.duration - tones.PHRASE_S) < 0.06
        start = entry["segment_num"] * (tones.PHRASE_S + tones.PAUSE_S)
        assert abs(entry["original_start_ms"] / 1000 - start) < 0.06
    records = [json.loads(line) for line in failures.read_text().splitlines()]
    broken = sum(kind in ("empty", "truncated", "a text", "missing") for kind in kinds)
    assert Counter(record["stage"] for record in records) == {"GetAudioDurationStage": broken, "manifest_entry": 1}
    assert progress["totals"]["tasks_failed"] == broken + 1


FACTS: dict[str, Callable[[Path, dict[str, Any], Path], None]] = {
    check.__name__: check for check in (classification, deduplication, autoscaling, images, video, audio)
}
