"""A spec with shards runs a NeMo Curator pipeline unchanged; its own support of job arrays must be off there."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("own_home"), pytest.mark.filterwarnings("ignore")]

from click.testing import CliRunner  # noqa: E402
from fake_slurm import FakeSlurm  # noqa: E402
from run_dirs import keep_element, own_home, write_spec  # noqa: E402

from curator_slurm.launcher.cli import main  # noqa: E402
from curator_slurm.launcher.runs.paths import RunPaths  # noqa: E402
from curator_slurm.launcher.runs.registry import run_directories  # noqa: E402

__all__ = ["own_home"]

FILES, ROWS = 7, 6
HERE = Path(__file__).parent

READER = "nemo_curator.stages.text.io.reader.JsonlReader"
WRITER = "nemo_curator.stages.text.io.writer.JsonlWriter"
FILTER: dict[str, Any] = {
    "_target_": "nemo_curator.stages.text.filters.score_filter.ScoreFilter",
    "filter_obj": {
        "_target_": "nemo_curator.stages.text.filters.heuristic.string.WordCountFilter",
        "min_words": 5,
    },
    "text_field": "text",
    "score_field": "words",
}


def stages(files: str, output: str) -> list[dict[str, Any]]:
    reader = {"_target_": READER, "file_paths": files, "files_per_partition": 1, "fields": ["id", "text", "note"]}
    return [reader, FILTER, {"_target_": "curator_entry.Witness"}, {"_target_": WRITER, "path": output}]


def entry(folder: Path) -> dict[str, Any]:
    return {"entry": "curator_entry:build", "args": {"files": "${shard.files}", "output": "${output_dir}"}}


def listed(folder: Path) -> dict[str, Any]:
    return {"stages": stages("${shard.files}", "${output_dir}")}


def its_yaml(folder: Path) -> dict[str, Any]:
    content = {"input_path": "???", "output_path": "???", "stages": stages("${input_path}", "${output_path}")}
    (folder / "curator.yaml").write_text(json.dumps(content))
    arguments = {"input_path": "${shard.files}", "output_path": "${output_dir}"}
    return {"file": str(folder / "curator.yaml"), "args": arguments}


FORMS = {"entry": entry, "stages": listed, "file": its_yaml}


def write_input(folder: Path) -> None:
    """Files of different sizes, with hostile names, one of them with nothing that is long enough."""
    (folder / "in").mkdir()
    for file in range(FILES):
        rows = [
            {"id": f"{file}-{row}", "text": "wörd " * (2 + file * row), "note": None if row % 2 else 'a\n"b"'}
            for row in range(ROWS + file)
        ]
        (folder / "in" / f"{file} {{x}}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Input, and a caller whose own array is on."""
    write_input(tmp_path)
    shutil.copy(HERE / "curator_entry.py", tmp_path)
    for name, value in {"ENABLED": "1", "SHARD_INDEX": "0", "TOTAL_SHARDS": "9"}.items():
        monkeypatch.setenv(f"NEMO_CURATOR_SLURM_ARRAY_{name}", value)
    return tmp_path


@pytest.fixture(scope="module")
def plain(careless: Any, tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """What NeMo Curator itself makes of all files at once, on an executor of its own."""
    from curator_entry import build
    from nemo_curator.backends.ray_actor_pool import RayActorPoolExecutor

    folder = tmp_path_factory.mktemp("plain")
    write_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in careless.env.items():
            patch.setenv(name, value)
        build(sorted(map(str, (folder / "in").glob("*.jsonl"))), str(folder / "out")).run(RayActorPoolExecutor())
    rows = content(rows_below(folder / "out"))
    assert 0 < sum(rows.values()) < sum(ROWS + file for file in range(FILES))
    return rows


def rows_below(folder: Path) -> list[dict[str, Any]]:
    files = folder.rglob("*.jsonl")
    lines = (line for path in files for line in path.read_text().splitlines())
    return [json.loads(line) for line in lines if line]  # a file without rows has an empty line


def content(rows: list[dict[str, Any]]) -> Counter[str]:
    """The rows without what tells where they were made."""
    return Counter(json.dumps({**row, "element": "", "array": ""}, sort_keys=True) for row in rows)


def run(folder: Path, cluster: str, pipeline: dict[str, Any], backend: str, **more: Any) -> RunPaths:
    spec = write_spec(
        folder,
        Path(sys.executable),
        pipeline=pipeline,
        executor={"backend": backend},
        input={"paths": [str(folder / "in" / "*.jsonl")]},
        **more,
    )
    result = CliRunner().invoke(main, ["run", str(spec), "--cluster", cluster])
    assert result.exit_code == 0, result.output
    (directory,) = run_directories([folder / "runs"])
    return RunPaths(directory)


@pytest.mark.parametrize(
    ("form", "backend"),
    [
        ("entry", "xenna"),
        ("entry", "ray_data"),
        ("entry", "ray_actor_pool"),
        ("stages", "ray_data"),
        ("file", "xenna"),
        ("file", "ray_actor_pool"),
        ("entry", "nemo_curator.backends.ray_actor_pool:RayActorPoolExecutor"),
    ],
)
def test_a_curator_pipeline_in_an_array(
    folder: Path, plain: Counter[str], fake_slurm: FakeSlurm, form: str, backend: str
) -> None:
    keep_element(fake_slurm)
    fake_slurm.configure(running_elements=1)
    paths = run(folder, "slurm", FORMS[form](folder), backend, shards={"count": 4, "per_element": 2})
    shards = sorted(paths.outputs.glob("shard-*"))
    assert len(shards) == 4
    rows = [rows_below(shard) for shard in shards]
    assert content(rows_below(paths.outputs)) == plain
    assert [{row["element"] for row in of_shard} for of_shard in rows] == [{"0"}, {"0"}, {"1"}, {"1"}]
    assert {row["array"] for of_shard in rows for row in of_shard} == {"None"}
    if form == "entry":
        logs = [path.read_text() for path in paths.attempts.glob("*/*/driver.log")]
        assert [log.count("the driver's array: None") for log in logs] == [1] * 4


def test_shards_in_a_row_on_this_machine(folder: Path, plain: Counter[str]) -> None:
    """Even setup commands that turn it on, for all that is started later on the node, change nothing."""
    export = "export NEMO_CURATOR_SLURM_ARRAY_ENABLED=1 NEMO_CURATOR_SLURM_ARRAY_SHARD_INDEX=2"
    environment = {"python": sys.executable, "setup": [export]}
    more = {"shards": {"files_per_shard": 3}, "environment": environment}
    paths = run(folder, "local", entry(folder), "ray_actor_pool", **more)
    assert len(list(paths.outputs.glob("shard-*"))) == 3
    rows = rows_below(paths.outputs)
    assert content(rows) == plain
    assert {(row["element"], row["array"]) for row in rows} == {("none", "None")}


def test_without_shards_nothing_of_the_callers_array_is_left(folder: Path, plain: Counter[str]) -> None:
    paths = run(folder, "local", entry(folder), "ray_actor_pool")
    rows = rows_below(paths.outputs)
    assert content(rows) == plain
