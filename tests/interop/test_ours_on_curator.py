"""The other way: our pipelines on NeMo Curator's executors, named in a spec, and its YAML loaded from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

from curator_slurm.launcher.driver.executor_loader import load_executor  # noqa: E402
from curator_slurm.launcher.driver.load_error import PipelineLoadError  # noqa: E402
from curator_slurm.launcher.driver.pipeline_loader import build_pipeline, run_arguments  # noqa: E402
from curator_slurm.launcher.spec.model import Spec  # noqa: E402
from curator_slurm.launcher.spec.spec_file import read_string  # noqa: E402

THEIRS = ["xenna:XennaExecutor", "ray_data:RayDataExecutor", "ray_actor_pool:RayActorPoolExecutor"]
ROWS = 60

OUR_STAGES = """
  stages:
    - use: curator_slurm.executors.stages:JsonlReader
      with: {file_paths: "${input.files}", files_per_partition: 2}
    - use: curator_slurm.executors.stages:JsonlWriter
      with: {path: "${output_dir}"}
"""
OURS_AND_A_FILTER = """
  stages:
    - use: curator_slurm.executors.stages:JsonlReader
      with: {file_paths: "${input.files}", files_per_partition: 2}
    - _target_: nemo_curator.stages.text.filters.score_filter.ScoreFilter
      filter_obj: {_target_: nemo_curator.stages.text.filters.heuristic.string.WordCountFilter, min_words: 5}
      text_field: text
    - use: curator_slurm.executors.stages:JsonlWriter
      with: {path: "${output_dir}"}
"""
MIXED_STAGES = """
  stages:
    - _target_: nemo_curator.stages.text.io.reader.JsonlReader
      file_paths: "${input.files}"
      files_per_partition: 2
    - _target_: nemo_curator.stages.text.filters.score_filter.ScoreFilter
      filter_obj: {_target_: nemo_curator.stages.text.filters.heuristic.string.WordCountFilter, min_words: 5}
      text_field: text
      resources: {cpus: 0.5}
    - use: curator_slurm.executors.stages:JsonlWriter
      with: {path: "${output_dir}"}
"""
CURATOR_FILE = """
defaults: [_self_]
hydra: {run: {dir: .}}
input_path: ???
output_path: ???
text_field: text
ray_client: {_target_: nemo_curator.core.client.RayClient}
stages:
  - _target_: nemo_curator.stages.text.io.reader.JsonlReader
    file_paths: ${input_path}
    files_per_partition: 2
  - _target_: nemo_curator.stages.text.filters.score_filter.ScoreFilter
    filter_obj:
      _target_: nemo_curator.stages.text.filters.heuristic.string.WordCountFilter
      min_words: 5
    text_field: ${text_field}
  - _target_: nemo_curator.stages.text.io.writer.JsonlWriter
    path: ${output_path}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for file in range(6):
        rows = [{"id": row, "text": "word " * (row % 10 + 1)} for row in range(ROWS) if row % 6 == file]
        (tmp_path / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(path) for path in sorted(tmp_path.glob("*.jsonl"))]


def spec(pipeline: str, executor: str = "{}", more: str = "") -> Spec:
    text = f"name: interop\ninput: {{paths: [x]}}\npipeline: {pipeline}\nexecutor: {executor}\n{more}"
    reading = read_string(text, "s.yaml")
    assert not reading.problems
    assert reading.spec is not None
    return reading.spec


def run(given: Spec, files: list[str], out: Path) -> list[int]:
    """The ids of the rows that are written."""
    executor = load_executor(given)
    context = {"input.files": files, "output_dir": str(out)}
    pipeline = build_pipeline(given.pipeline, given.name, context)
    assert pipeline.name == given.name
    pipeline.run(**run_arguments(pipeline, executor, given.pipeline.checkpoint_path))
    return sorted(json.loads(line)["id"] for path in out.glob("*.jsonl") for line in path.read_text().splitlines())


def long_enough() -> list[int]:
    return [row for row in range(ROWS) if row % 10 + 1 >= 5]


@pytest.mark.parametrize("backend", THEIRS)
def test_our_stages_on_its_executors(
    backend: str, untidy: Any, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one of its filters between them; its workers count what goes in and out."""
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    settings = {"file": str(tmp_path / "samples"), "documents": 2, "characters": 50, "fields": [], "hidden": ["id"]}
    monkeypatch.setenv("CURATOR_SLURM_SAMPLES", json.dumps(settings))
    given = spec(OURS_AND_A_FILTER, f"{{backend: 'nemo_curator.backends.{backend}'}}")
    assert run(given, files, tmp_path / "out") == long_enough()
    _, reader, words, writer = json.loads((tmp_path / "progress.json").read_text())["stages"]
    assert reader["items_out"] == words["items_in"] == ROWS
    assert words["items_out"] == writer["items_in"] == len(long_enough())
    assert all(each["bytes_in"] > 0 and each["bytes_out"] > 0 and each["busy_s"] > 0 for each in (reader, words))
    shown = [json.loads(line) for line in (tmp_path / "samples").read_text().splitlines()]
    kept = {
        (line["kept"], len(line["fields"]["text"].split()) >= 5) for line in shown if line["stage"] == words["name"]
    }
    assert kept == {(True, True), (False, False)}
    assert not any("id" in line["fields"] for line in shown)


def test_stages_of_both_mix(connected: Any, files: list[str], tmp_path: Path) -> None:
    given = spec(MIXED_STAGES, "{backend: ray_actor_pool}")
    assert run(given, files, tmp_path / "out") == long_enough()


@pytest.mark.parametrize("backend", ["ray_actor_pool", "nemo_curator.backends.ray_data:RayDataExecutor"])
def test_its_yaml(backend: str, connected: Any, files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(CURATOR_FILE)
    arguments = '{input_path: "${input.files}", output_path: "${output_dir}"}'
    given = spec(f"{{file: {path}, args: {arguments}}}", f"{{backend: '{backend}'}}")
    assert run(given, files, tmp_path / "out") == long_enough()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (CURATOR_FILE, "{input_path: a}", "needs a value for output_path"),
        (CURATOR_FILE, "{input_paht: a}", "has no top-level setting 'input_paht'; it has input_path, output_path, te"),
        ("a: [", "{}", "cannot be read"),
        ("a: 1", "{}", "neither stages nor workflow"),
        ("stages: [{_target_: nemo_curator.no.Such}]", "{}", "cannot be built"),
        ("stages: [{_target_: pathlib.Path, x: '${y}'}]", "{}", "has an error"),
    ],
)
def test_errors_in_its_yaml(content: str, arguments: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(content)
    with pytest.raises(PipelineLoadError, match=message):
        run(spec(f"{{file: {path}, args: {arguments}}}"), [], tmp_path)


@pytest.mark.parametrize(
    ("executor", "more", "message"),
    [
        ("{backend: 'nemo_curator.backends.xena:XennaExecutor'}", "", "no module named 'nemo_curator.backends.xena'"),
        ("{backend: 'nemo_curator.backends.xenna:XenaExecutor'}", "", "did you mean 'XennaExecutor'"),
        ("{backend: 'pathlib:Path'}", "", "is not an executor"),
        ("{backend: 'nemo_curator.backends.xenna:XennaExecutor'}", "failures: {task_retries: 1}", "does not take"),
    ],
)
def test_executors_that_cannot_be(executor: str, more: str, message: str) -> None:
    with pytest.raises(PipelineLoadError, match=message):
        load_executor(spec("{entry: 'a:b'}", executor, more))


def test_its_executors_have_no_checkpoint_of_ours(connected: Any, files: list[str], tmp_path: Path) -> None:
    given = spec(
        OUR_STAGES.replace("${output_dir}", str(tmp_path / "out")) + f"  checkpoint_path: {tmp_path / 'kept'}\n",
        "{backend: 'nemo_curator.backends.ray_data:RayDataExecutor'}",
    )
    with pytest.raises(ValueError, match="RayDataExecutor does not report"):
        run(given, files, tmp_path / "out")
