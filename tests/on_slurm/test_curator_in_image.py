"""Pipelines of NeMo Curator inside an image that has it, and nothing of curator-slurm (`make containers`)."""

from __future__ import annotations

import json
import sys
from typing import Any

import image_folder
import pytest

from on_slurm.contained_runs import NODES, Before, run
from on_slurm.runs import SMALL, Runs

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("ready_for_podman")]

FILES, ROWS = 24, 20
PIPELINE = f"""
import os, socket, sys, time
from dataclasses import dataclass

from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.stages.text.filters.heuristic.string import WordCountFilter
from nemo_curator.stages.text.filters.score_filter import ScoreFilter
from nemo_curator.stages.text.io.reader import JsonlReader
from nemo_curator.stages.text.io.writer import JsonlWriter
from nemo_curator.stages.text.modifiers import Modify, NewlineNormalizer, UrlRemover
from nemo_curator.tasks import DocumentBatch


@dataclass
class Witness(ProcessingStage[DocumentBatch, DocumentBatch]):
    name: str = "witness"

    def process(self, task):
        time.sleep(1)  # so that one node alone has too much to do
        frame = task.to_pandas().copy()
        frame["node"] = socket.gethostname()
        frame["image"] = os.path.exists("/{image_folder.MARK}")
        frame["python"] = sys.executable
        return DocumentBatch(
            dataset_name=task.dataset_name, data=frame, _metadata=task._metadata, _stage_perf=task._stage_perf
        )

    def xenna_stage_spec(self):
        return {{"num_workers_per_node": 1}}


def build(files, output):
    small = Resources(cpus=0.5)
    stages = [
        JsonlReader(file_paths=files, files_per_partition=1, fields=["id", "text"]),
        Modify([NewlineNormalizer(), UrlRemover()], input_fields="text").with_(resources=small),
        ScoreFilter(WordCountFilter(min_words=8), text_field="text", score_field="words").with_(resources=small),
        Witness(),
        JsonlWriter(path=output).with_(resources=small),
    ]
    return Pipeline(name="documents", stages=stages)
"""
MORE = ("node", "image", "python")
"""What the witness adds to a row."""


@pytest.fixture
def spec(runs: Runs) -> dict[str, Any]:
    folder = runs.folder / "in"
    folder.mkdir()
    for number in range(FILES):
        rows = [
            {"id": f"{number}-{row}", "text": f"See https://example.org/{row} of {number}.\n\n\n\n{'word ' * row}"}
            for row in range(ROWS)
        ]
        (folder / f"{number:02}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (runs.folder / "curated.py").write_text(PIPELINE)
    return {
        "name": "curated",
        "pipeline": {"entry": "curated:build", "args": {"files": "${input.files}", "output": "${output_dir}"}},
        "input": {"paths": [str(folder / "*.jsonl")]},
        "resources": {**SMALL, "cpus_per_node": 4, "mem_per_node": "3500M"},
        "cluster": {"join_timeout_s": 200},
    }


def outputs(runs: Runs) -> list[dict[str, Any]]:
    paths = (runs.latest() / "outputs").glob("*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def rows_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [{key: value for key, value in row.items() if key not in MORE} for row in found]
    return sorted(rows, key=lambda row: row["id"])


EXPECTED = sorted(f"{number}-{row}" for number in range(FILES) for row in range(ROWS) if row + 3 >= 8)


@pytest.mark.parametrize(
    ("runtime", "backend"),
    [
        ("charliecloud", "xenna"),
        ("podman", "ray_data"),
        ("command", "nemo_curator.backends.xenna:XennaExecutor"),
    ],
)
def test_a_pipeline_of_nemo_curator_runs_on_all_nodes_of_its_image(
    runs: Runs, spec: dict[str, Any], runtime: str, backend: str
) -> None:
    """On our executors and on its own, with cosmos-xenna 0.2.0, which it pins."""
    before = Before(runs.cluster)
    spec["executor"] = {"backend": backend}
    spec["environment"] = {"venv": image_folder.VENV}
    done = run(runs, spec, runtime, image=image_folder.CURATOR)
    assert done.returncode == 0, done.output
    runs.assert_nothing_left()
    before.assert_no_trace()
    found = outputs(runs)
    assert {row["node"] for row in found} == set(NODES)
    assert {(row["image"], row["python"]) for row in found} == {(True, f"{image_folder.VENV}/bin/python")}
    assert [row["id"] for row in rows_of(found)] == EXPECTED

    if sys.version_info[:2] != (3, 11):
        pytest.skip("the same packages without a container need Python 3.11, as in the image")
    packages = image_folder.CURATOR / image_folder.VENV.lstrip("/") / "lib/python3.11/site-packages"
    spec["environment"] = {"env": {"PYTHONPATH": str(packages)}}
    spec["executor"] = {"backend": "xenna" if ":" in backend else backend}  # its own is not where this is submitted
    outside = runs.run(spec)
    assert outside.returncode == 0, outside.output
    without = outputs(runs)
    assert {row["image"] for row in without} == {False}
    assert rows_of(without) == rows_of(found)
