"""What people get wrong when they first name an image, on a real Slurm: each is said in seconds (`make containers`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import image_folder
import pytest

from on_slurm.contained_runs import Before, run
from on_slurm.runs import SMALL, Runs

NEWER = image_folder.NEWER
pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not NEWER.is_dir(), reason=f"no image like NVIDIA's: {image_folder.NO_NEWER}"),
]
STAGES = [
    {"use": "curator_slurm.executors.stages:JsonlReader", "with": {"file_paths": "${input.files}"}},
    {"use": "curator_slurm.executors.stages:JsonlWriter", "with": {"path": "${output_dir}"}},
]
VENV = {"venv": image_folder.VENV}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no python named": ({}, "has no PyYAML, pydantic, psutil, ray: /usr/bin/python3 (Python 3.11)"),
    "another python": (
        {"environment": {"python": "python3.12"}},
        "no Python interpreter that can be run as python3.12",
    ),
    "another venv": (
        {"environment": {"venv": "/opt/conda"}},
        "no Python interpreter that can be run as /opt/conda/bin",
    ),
    "image elsewhere": ({"image": Path("/nosuch/folder/image")}, "charliecloud could not start the container"),
    "no ray": ({"image": image_folder.DEBIAN}, "has no PyYAML, pydantic, psutil, ray"),
    "workdir": (
        {"environment": {**VENV, "container": {"workdir": "/workspace"}}},
        "environment.container.workdir: /workspace is not in the container",
    ),
    "setup": (
        {"environment": {**VENV, "setup": "source /opt/conda/bin/activate"}},
        "environment.setup: this command failed",
    ),
    "command": (
        {"environment": VENV, "pipeline": {"command": ["curate", "--all"]}},
        "pipeline.command: there is no program 'curate' on PATH (/opt/venv/bin",
    ),
    "variable": (
        {"environment": {**VENV, "env": {"PATH": "/opt/nosuch/bin"}}},
        "PATH in the container is /opt/nosuch/bin, where there is no bash",
    ),
    "variable of another python": (
        {"environment": {**VENV, "env": {"PYTHONPATH": "/usr/lib/python3.11"}}},
        "the Python of the container does not run: /opt/venv/bin/python",
    ),
    "xenna": (
        {"environment": VENV, "pipeline": {"stages": STAGES}, "executor": {"backend": "xenna"}},
        "xenna needs cosmos-xenna, and /opt/venv/bin/python in the container has no module cosmos_xenna",
    ),
    "nemo curator": (
        {
            "environment": VENV,
            "pipeline": {"stages": [{"_target_": "nemo_curator.stages.text.io.reader.JsonlReader", "file_paths": "x"}]},
            "executor": {"backend": "ray_actor_pool"},
        },
        "nemo_curator",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(runs: Runs, mistake: str) -> None:
    change, expected = MISTAKES[mistake]
    before = Before(runs.cluster)
    (runs.folder / "in").mkdir()
    (runs.folder / "in/a.jsonl").write_text('{"text": "a b c"}\n')
    spec = {
        "name": "mistake",
        "pipeline": {"command": ["python3", "-c", "print(1)"]},
        "input": {"paths": [str(runs.folder / "in/*.jsonl")]},
        "resources": {**SMALL, "nodes": 2},
        "cluster": {"join_timeout_s": 200},
        **change,
    }
    done = run(runs, spec, "charliecloud", image=spec.pop("image", NEWER))
    assert done.returncode in (2, 6), done.output
    assert expected in " ".join(done.output.split())
    runs.assert_nothing_left()
    before.assert_no_trace()
