"""Programs for NeMo Curator run with one prefix changed: its modules are there, with the same objects as ours."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curator_slurm import executors

DOCS = Path(__file__).parents[2] / "docs"
MODULES = {
    "pipeline": ["Pipeline"],
    "tasks": ["DocumentBatch", "EmptyTask", "FileGroupTask", "Task"],
    "stages.base": ["CompositeStage", "ProcessingStage"],
    "stages.resources": ["Resources"],
    "stages.function_decorators": ["processing_stage"],
    "backends.base": ["BaseExecutor", "NodeInfo", "WorkerMetadata"],
    "backends.xenna": ["XennaExecutor"],
    "backends.ray_data": ["RayDataExecutor"],
    "backends.ray_actor_pool": ["RayActorPoolExecutor"],
    "backends.experimental.ray_data": ["RayDataExecutor"],
    "backends.experimental.ray_actor_pool": ["RayActorPoolExecutor"],
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_nemo_curator_has_its_names(module: str) -> None:
    found = importlib.import_module(f"curator_slurm.executors.{module}")
    for name in MODULES[module]:
        assert getattr(found, name) is getattr(executors, name)


def test_its_page_of_execution_backends_runs() -> None:
    """The three ways of making an executor on the page, each with the options that it shows."""
    code = """
from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.backends.xenna import XennaExecutor
from curator_slurm.executors.backends.experimental.ray_data import RayDataExecutor
from curator_slurm.executors.backends.experimental.ray_actor_pool import RayActorPoolExecutor

pipeline = Pipeline(name="example_pipeline", description="Curator pipeline")
XennaExecutor(config={
    "execution_mode": "streaming",
    "logging_interval": 60,
    "ignore_failures": False,
    "cpu_allocation_percentage": 0.95,
    "autoscale_interval_s": 180,
})
RayDataExecutor()
RayActorPoolExecutor(config={"reserved_cpus": 0.0, "reserved_gpus": 0.0})
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_docs_have_all_of_these_modules() -> None:
    table = (DOCS / "tutorial" / "nemo-curator.md").read_text(encoding="utf-8")
    for module in MODULES:
        name = re.sub(r"(experimental)\..*", r"\1.*", module)
        assert f"| `nemo_curator.{name}`" in table
        assert f"| `curator_slurm.executors.{name}` |" in table


def test_the_page_on_writing_a_stage_runs() -> None:
    text = (DOCS / "how-to" / "write-a-stage.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {"__name__": "my_stages"}
    exec(compile("\n".join(blocks), "write-a-stage.md", "exec"), names)
    assert names["masked"].batch_size == 16  # type: ignore[attr-defined]
    names["test_long_numbers_are_masked"]()  # type: ignore[operator]
    names["batch"] = eval('DocumentBatch("test", pd.DataFrame({"text": ["four"]}))', names)
    assert list(eval('CountCharacters().process(batch).to_pandas()["characters"]', names)) == [4]
